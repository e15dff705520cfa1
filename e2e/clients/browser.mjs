// Drives Chromium over its DevTools protocol. The script takes the browser's path and flags, reads one JSON command a line
// from standard input and answers each with one line: {"result":…} or {"error":"…"}.
//   {"open": url}                                  a new page; the result is its number
//   {"page": n, "evaluate": expression}            its value, awaited when it is a promise
//   {"page": n, "screenshot": file, "width": w, "height": h, "dark": bool}
//   {"page": n, "problems": true}                  uncaught errors, console errors and refused loads so far
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import WebSocket from "ws";

const profile = await mkdtemp(join(tmpdir(), "fraiseql-browser-"));
const browser = spawn(process.argv[2], [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-extensions", "--remote-debugging-port=0", `--user-data-dir=${profile}`, ...process.argv.slice(3), "about:blank",
], { stdio: ["ignore", "ignore", "pipe"] });

const address = await new Promise((resolve, reject) => {
  createInterface({ input: browser.stderr }).on("line", (line) => {
    const found = /^DevTools listening on (ws:.*)$/.exec(line);
    if (found) resolve(found[1]);
  });
  browser.once("exit", (code) => reject(new Error(`the browser ended with code ${code}`)));
});
const socket = new WebSocket(address);
await new Promise((resolve) => socket.once("open", resolve));

const waiting = new Map();
const pages = [];
let lastId = 0;

function call(method, params = {}, sessionId = undefined) {
  const id = ++lastId;
  socket.send(JSON.stringify({ id, method, params, sessionId }));
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

socket.on("message", (text) => {
  const { id, result, error, method, params, sessionId } = JSON.parse(text);
  if (id) {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    return error ? reject(new Error(error.message)) : resolve(result);
  }
  const page = pages.find((page) => page.sessionId === sessionId);
  if (method === "Runtime.exceptionThrown") page.problems.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
  if (method === "Log.entryAdded" && params.entry.level === "error") page.problems.push(`${params.entry.text} ${params.entry.url ?? ""}`);
  if (method === "Runtime.consoleAPICalled" && params.type === "error") page.problems.push(params.args.map((arg) => arg.value).join(" "));
  if (method === "Page.loadEventFired") page.loaded();
});

async function open(url) {
  const { targetId } = await call("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });
  const page = { sessionId, problems: [], loaded: () => {} };
  pages.push(page);
  for (const domain of ["Page", "Runtime", "Log"]) await call(`${domain}.enable`, {}, sessionId);
  const loaded = new Promise((resolve) => (page.loaded = resolve));
  await call("Page.navigate", { url }, sessionId);
  await loaded;
  return pages.length - 1;
}

async function evaluate({ sessionId }, expression) {
  const { result, exceptionDetails } = await call("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true }, sessionId);
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return result.value ?? null;
}

async function screenshot({ sessionId }, { screenshot, width = 1280, height = 900, dark = false }) {
  const features = [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }];
  await call("Emulation.setEmulatedMedia", { features }, sessionId);
  await call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false }, sessionId);
  await evaluate({ sessionId }, "new Promise((resolve) => setTimeout(resolve, 300))");
  const { data } = await call("Page.captureScreenshot", { captureBeyondViewport: true }, sessionId);
  await writeFile(screenshot, Buffer.from(data, "base64"));
  return null;
}

function run(command) {
  const page = pages[command.page];
  if (command.open) return open(command.open);
  if (command.evaluate) return evaluate(page, command.evaluate);
  if (command.screenshot) return screenshot(page, command);
  return page.problems;
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { result: await run(JSON.parse(line)) };
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
const ended = new Promise((resolve) => browser.once("exit", resolve));
await call("Browser.close").catch(() => {});
await ended;
await rm(profile, { recursive: true, force: true });
process.exit(0);
