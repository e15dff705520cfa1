// npm graphql-http: the audits of a GraphQL over HTTP server. Prints a JSON line per audit: {id, name, status, reason}.
import { serverAudits } from "graphql-http";

const { url, token } = JSON.parse(process.argv[2]);
const fetchFn = (target, options = {}) => fetch(target, { ...options, headers: { ...options.headers, authorization: `Bearer ${token}` } });
for (const audit of serverAudits({ url, fetchFn })) {
  const { id, name, status, reason } = await audit.fn();
  process.stdout.write(JSON.stringify({ id, name, status, reason }) + "\n");
}
