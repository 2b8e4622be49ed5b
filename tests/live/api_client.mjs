// The documented JavaScript sample of the hosted service, with its polling loop, for another base URL.
const [base, body] = process.argv.slice(2);
const headers = new Headers();
headers.append("Content-Type", "application/json");

async function post(path, value) {
  const options = { method: "POST", headers, body: JSON.stringify(value), redirect: "follow" };
  const response = await fetch(`${base}${path}`, options);
  return JSON.parse(await response.text());
}

const asked = JSON.parse(body);
let result = await post("/api/v4/dreambooth", asked);
const id = result.id;
for (let tries = 0; result.status === "processing" && tries < 300; tries += 1) {
  await new Promise((resolve) => setTimeout(resolve, 200));
  result = await post("/api/v4/dreambooth/fetch", { key: asked.key, request_id: id });
}
const picture = await fetch(result.output[0]);
const bytes = new Uint8Array(await picture.arrayBuffer());
console.log(JSON.stringify({ status: result.status, id: result.id, head: [...bytes.slice(0, 4)] }));
