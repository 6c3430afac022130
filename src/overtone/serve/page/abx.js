// A blind test: X is before or after, and answers are counted.

export class Abx {
  right = 0;
  asked = 0;
  #x;

  constructor(random = () => Math.random()) {
    this.random = random;
    this.#draw();
  }

  /** What X is, for the player alone. */
  get x() { return this.#x; }

  #draw() { this.#x = this.random() < 0.5 ? "before" : "after"; }

  answer(guess) {
    this.asked += 1;
    const right = guess === this.#x;
    this.right += right;
    this.#draw();
    return right;
  }

  reset() {
    this.right = this.asked = 0;
    this.#draw();
  }

  /** How probable so many right answers are for somebody who only guesses. */
  get chance() {
    let chance = 0;
    let ways = 1; // n over k
    for (let k = 0; k <= this.asked; k++) {
      if (k >= this.right) chance += ways;
      ways = ways * (this.asked - k) / (k + 1);
    }
    return chance / 2 ** this.asked;
  }
}
