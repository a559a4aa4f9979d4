// Reads {name: statement} as JSON from standard input and prints what Neo4j's own linter finds wrong with each.
import { createRequire } from "node:module";

const { lintCypherQuery } = createRequire(`${process.cwd()}/`)("@neo4j-cypher/language-support");
let input = "";
for await (const chunk of process.stdin) input += chunk;
const found = {};
for (const [name, statement] of Object.entries(JSON.parse(input))) {
  const parameters = Object.fromEntries([...statement.matchAll(/\$(\w+)/g)].map((match) => [match[1], null]));
  const said = lintCypherQuery(statement, { parameters }).diagnostics.map((d) => d.message);
  if (said.length) found[name] = said;
}
console.log(JSON.stringify(found));
