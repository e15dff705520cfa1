const byId = (id) => document.getElementById(id);
const client = new GraphQLClient("/graphql", { onstatus: showStatus(byId("status")) });

const documents = {
  machine: `subscription {
  machine { at cpu memory { used total } load processes uptime }
}`,
  process: `subscription ($minCpu: Float) {
  process(minCpu: $minCpu) { pid name cpu memory }
}`,
  chat: `subscription ($room: String!) {
  chat(room: $room) { author text at }
}`,
};
for (const [name, text] of Object.entries(documents)) byId(`${name}-document`).textContent = text;

const failed = (errors) => (byId("refused").textContent = errors.map(({ message }) => message).join("; "));

// The figures and the graph: of the time since the page was opened, at least half a minute, at most two.
const longest = 120;
const samples = [];
client.subscribe({ query: documents.machine }, {
  error: failed,
  next: ({ data }) => {
    if (!data) return;
    const { at, cpu, memory, load, processes, uptime } = data.machine;
    samples.push({ at: Date.parse(at), cpu, memory: memory.total ? (100 * memory.used) / memory.total : 0 });
    if (samples.length > longest + 2) samples.shift();
    byId("cpu").textContent = `${cpu.toFixed(1)} %`;
    byId("memory").textContent = `${gib(memory.used)} of ${gib(memory.total)}`;
    byId("load").textContent = load?.toFixed(2) ?? "–";
    byId("processes").textContent = processes ?? "–";
    byId("uptime").textContent = duration(uptime);
    byId("graph").dataset.samples = Number(byId("graph").dataset.samples) + 1;
    draw();
  },
});

const gib = (bytes) => (bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`);

function duration(seconds) {
  const [days, hours, minutes] = [seconds / 86400, (seconds / 3600) % 24, (seconds / 60) % 60].map(Math.floor);
  return days ? `${days} d ${hours} h` : hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
}

function draw() {
  const canvas = byId("graph");
  const scale = devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  const left = 44, bottom = height - 22, top = 8;
  const y = (percent) => bottom - ((bottom - top) * percent) / 100;
  const newest = samples.at(-1)?.at ?? 0;
  const span = Math.min(longest, Math.max(30, (newest - (samples[0]?.at ?? 0)) / 1000));
  const x = (at) => width - 6 - ((width - 6 - left) * (newest - at)) / (span * 1000);
  pen.font = "12px system-ui, sans-serif";
  pen.fillStyle = color("--soft");
  pen.strokeStyle = color("--line");
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const percent of [0, 25, 50, 75, 100]) {
    pen.fillText(`${percent} %`, left - 8, y(percent));
    line(pen, [[left, y(percent)], [width - 6, y(percent)]], 1);
  }
  pen.textAlign = "center";
  const step = span > 60 ? 30 : 10;
  for (let ago = step; ago <= span; ago += step) pen.fillText(`−${ago} s`, Math.max(left + 18, x(newest - ago * 1000)), bottom + 14);
  pen.textAlign = "right";
  pen.fillText("now", width - 6, bottom + 14);
  for (const [key, name] of [["memory", "--second"], ["cpu", "--accent"]]) {
    pen.strokeStyle = pen.fillStyle = color(name);
    const shown = samples.filter(({ at }) => x(at) >= left);
    line(pen, shown.map((sample) => [x(sample.at), y(sample[key])]), 2);
    const last = shown.at(-1);
    if (last) dot(pen, x(last.at), y(last[key]));
  }
}

function line(pen, points, width) {
  pen.lineWidth = width;
  pen.lineJoin = "round";
  pen.beginPath();
  for (const [x, y] of points) pen.lineTo(x, y);
  pen.stroke();
}

function dot(pen, x, y) {
  pen.beginPath();
  pen.arc(x, y, 3, 0, 2 * Math.PI);
  pen.fill();
}

addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();

// The busiest processes. Moving the slider subscribes anew with another variable: the server filters.
const processes = new Map();
let stopProcesses = () => {};

function watchProcesses() {
  const minCpu = Number(byId("minimum").value);
  byId("minimum-shown").textContent = `${minCpu} %`;
  stopProcesses();
  processes.clear();
  listProcesses();
  stopProcesses = client.subscribe({ query: documents.process, variables: { minCpu } }, {
    error: failed,
    next: ({ data }) => {
      if (!data) return;
      processes.set(data.process.pid, { ...data.process, seen: performance.now() });
      later();
    },
  });
}

let scheduled = false;
function later() {
  if (scheduled) return;
  scheduled = true;
  setTimeout(listProcesses, 30);
}

function listProcesses() {
  scheduled = false;
  const now = performance.now();
  for (const [pid, { seen }] of processes) if (now - seen > 2500) processes.delete(pid);
  const sorted = [...processes.values()].sort((a, b) => b.cpu - a.cpu || b.memory - a.memory).slice(0, 8);
  byId("busy").replaceChildren(...sorted.map(({ pid, name, cpu, memory }) => {
    const row = element("tr");
    row.append(...[name, pid, `${cpu.toFixed(1)} %`, gib(memory)].map((text) => element("td", text)));
    return row;
  }));
}

byId("minimum").addEventListener("input", watchProcesses);
setInterval(listProcesses, 1000);
watchProcesses();

// The chat. A room is an argument: changing it ends one subscription and starts another.
let stopChat = () => {};

function enterRoom() {
  stopChat();
  const messages = byId("messages");
  messages.replaceChildren();
  stopChat = client.subscribe({ query: documents.chat, variables: { room: byId("room").value } }, {
    error: failed,
    next: ({ data }) => {
      if (!data) return;
      const { author, text, at } = data.chat;
      const item = element("li");
      if (at) item.append(element("time", new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })));
      item.append(element("b", author), text);
      const atEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 40;
      messages.append(item);
      while (messages.children.length > 300) messages.firstChild.remove();
      if (atEnd) messages.scrollTop = messages.scrollHeight;
    },
  });
}

byId("author").value = localStorage.getItem("author") ?? `guest ${Math.floor(100 + Math.random() * 900)}`;
byId("author").addEventListener("change", () => localStorage.setItem("author", byId("author").value));
byId("room").addEventListener("change", enterRoom);
byId("chat").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("refused").textContent = "";
  const message = {
    room: byId("room").value,
    author: byId("author").value.trim() || "guest",
    text: byId("text").value,
    at: new Date().toISOString(),
  };
  try {
    await publish({ channel: "chat", type: "message.posted", broadcast: true, data: message });
    byId("text").value = "";
  } catch (error) {
    byId("refused").textContent = `Not sent: ${error.message}`;
  }
});
enterRoom();
