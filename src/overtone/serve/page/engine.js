// Who does the work: the service that this page came from. `overtone studio --static` puts the
// engine in its place that does it in the browser.
export * from "./server.js";
