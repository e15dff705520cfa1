const byId = (id) => document.getElementById(id);
const maxResults = 200;
let received = 0;
let stop = null;

const client = new GraphQLClient(location.pathname, {
  token: () => byId("token").value.trim(),
  onstatus: showStatus(byId("status")),
});

// The schema's subscription fields, with what a first document needs of their types.
const wrappings = 7; // [[[T!]!]!]! has as many
const typeRef = "kind name ofType { ".repeat(wrappings) + "kind name" + " }".repeat(wrappings);
const introspection = `{
  __schema {
    subscriptionType { name }
    types { kind name fields {
      name description args { name defaultValue type { ${typeRef} } } type { ${typeRef} }
    } }
  }
}`;

function start(event) {
  event?.preventDefault();
  finish();
  byId("problem").textContent = "";
  const query = byId("document").value;
  let variables;
  try {
    variables = byId("variables").value.trim() ? JSON.parse(byId("variables").value) : undefined;
  } catch (error) {
    byId("problem").textContent = `Variables: ${error.message}`;
    return;
  }
  sessionStorage.setItem("document", query);
  sessionStorage.setItem("variables", byId("variables").value);
  running(true);
  stop = client.subscribe({ query, variables }, {
    next: (result) => show(result.errors ? "result with errors" : "result", result, Boolean(result.errors)),
    error: (errors) => {
      byId("problem").textContent = errors.map(describe).join("\n");
      show("error", errors, true);
      running(false);
    },
    complete: () => {
      show("complete", null, false);
      running(false);
    },
  });
}

function describe({ message, locations = [], extensions = {} }) {
  const place = locations.map(({ line, column }) => `line ${line}, column ${column}: `).join("");
  return `${extensions.code ? extensions.code + ": " : ""}${place}${message}`;
}

function finish() {
  stop?.();
  running(false);
}

function running(yes) {
  if (!yes) stop = null;
  byId("stop").disabled = !yes;
  byId("start").textContent = yes ? "Subscribe again" : "Subscribe";
}

function show(kind, value, bad) {
  const item = element("li");
  const now = new Date();
  const time = now.toLocaleTimeString([], { hour12: false }) + "." + String(now.getMilliseconds()).padStart(3, "0");
  item.append(element("time", time), element("span", kind, { class: bad ? "kind bad" : "kind" }));
  if (value !== null) item.append(element("pre", JSON.stringify(value, null, 2)));
  const list = byId("results");
  list.prepend(item);
  while (list.children.length > maxResults) list.lastChild.remove();
  received++;
  byId("count").textContent = received === 1 ? "1 message" : `${received} messages`;
}

function listFields(schema) {
  const types = new Map(schema.types.map((type) => [type.name, type]));
  const fields = types.get(schema.subscriptionType?.name)?.fields ?? [];
  for (const field of fields) {
    const item = element("li");
    const args = field.args.map((arg) => `${arg.name}: ${typeText(arg.type)}`).join(", ");
    const button = element("button", `${field.name}${args && `(${args})`}: ${typeText(field.type)}`, { type: "button", class: "quiet mono" });
    button.addEventListener("click", () => fill(field, types));
    item.append(button);
    if (field.description) item.append(element("p", field.description));
    byId("fields").append(item);
  }
  byId("fields-panel").hidden = fields.length === 0;
  if (fields.length > 0 && !byId("document").value) fill(fields[0], types);
}

function typeText({ kind, name, ofType }) {
  if (kind === "NON_NULL") return typeText(ofType) + "!";
  return kind === "LIST" ? `[${typeText(ofType)}]` : name;
}

const named = (type) => (type.ofType ? named(type.ofType) : type);

// fill writes a first document for a field: its required arguments as variables, its leaves two levels deep.
function fill(field, types) {
  const args = field.args.filter((arg) => arg.type.kind === "NON_NULL" && arg.defaultValue === null);
  const defined = args.map((arg) => `$${arg.name}: ${typeText(arg.type)}`).join(", ");
  const given = args.map((arg) => `${arg.name}: $${arg.name}`).join(", ");
  const selection = leaves(named(field.type), types, "    ", 2);
  byId("document").value =
    `subscription${defined && `(${defined})`} {\n  ${field.name}${given && `(${given})`}${selection && ` {\n${selection}  }`}\n}`;
  byId("variables").value = args.length ? JSON.stringify(Object.fromEntries(args.map((arg) => [arg.name, ""])), null, 2) : "";
}

function leaves({ kind, name }, types, indent, depth) {
  if (kind === "SCALAR" || kind === "ENUM") return "";
  if (kind === "UNION" || depth === 0) return `${indent}__typename\n`;
  let text = "";
  for (const field of types.get(name).fields) {
    if (field.args.some((arg) => arg.type.kind === "NON_NULL" && arg.defaultValue === null)) continue;
    const inner = leaves(named(field.type), types, indent + "  ", depth - 1);
    text += inner ? `${indent}${field.name} {\n${inner}${indent}}\n` : `${indent}${field.name}\n`;
  }
  return text;
}

byId("operation").addEventListener("submit", start);
byId("operation").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) start(event);
});
byId("stop").addEventListener("click", finish);
byId("clear").addEventListener("click", () => {
  byId("results").replaceChildren();
  received = 0;
  byId("count").textContent = "none yet";
});
byId("publish").addEventListener("submit", async (event) => {
  event.preventDefault();
  const told = byId("published");
  try {
    const { accepted } = await publish(JSON.parse(byId("event").value), byId("token").value.trim());
    told.textContent = `${accepted} accepted`;
    told.className = "soft";
  } catch (error) {
    told.textContent = error.message;
    told.className = "bad";
  }
});

byId("document").value = sessionStorage.getItem("document") ?? "";
byId("variables").value = sessionStorage.getItem("variables") ?? "";
byId("event").value = JSON.stringify({ channel: "example", type: "created", data: { id: "1" } }, null, 2);
client.subscribe({ query: introspection }, {
  next: ({ data }) => data && listFields(data.__schema),
  error: () => {},
});
