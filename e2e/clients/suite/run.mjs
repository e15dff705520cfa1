// Runs the cases and reports a line of JSON for each.
import "./client.mjs";
import "./server.mjs";
import { run } from "./harness.mjs";

await run();
