// Node's fetch with tough-cookie: a line of [[method, path], …] in, a line of [[status, body], …] out.
import { createInterface } from "node:readline";
import { CookieJar } from "tough-cookie";

const origin = process.argv[2];
const jar = new CookieJar();

async function ask([method, path]) {
  const url = origin + path;
  const response = await fetch(url, { method, headers: { cookie: await jar.getCookieString(url) } });
  for (const line of response.headers.getSetCookie()) await jar.setCookie(line, url);
  return [response.status, await response.text()];
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await Promise.all(JSON.parse(line).map(ask))));
}
