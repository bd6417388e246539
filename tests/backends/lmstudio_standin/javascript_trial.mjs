// The official JavaScript SDK, which checks every packet of the server against its own schema.
import { LMStudioClient } from "@lmstudio/sdk";

const complaints = [];
const note = (...words) => complaints.push(words.map(String).join(" "));
const logger = { debug: () => {}, info: () => {}, warn: note, error: note };
const client = new LMStudioClient({ baseUrl: process.argv[2], logger, verboseErrorMessages: true });
const out = {};
const within = (work, name) =>
  Promise.race([
    work,
    new Promise((_, fail) => setTimeout(() => fail(new Error(`nothing comes of ${name}`)), 4000).unref()),
  ]);

try {
  out.downloaded = (await within(client.system.listDownloadedModels(), "the list")).map(each => each.modelKey);
  out.estimate = "unasked";
  const progress = [];
  const model = await within(
    client.llm.load("talker", {
      identifier: "js",
      ttl: 60,
      config: { contextLength: 2048 },
      verbose: false,
      onProgress: share => progress.push(share),
    }),
    "the load",
  );
  out.progress = progress.at(-1);
  out.loaded = (await within(client.llm.listLoaded(), "what is loaded")).map(each => each.identifier);
  out.tokens = await within(model.countTokens("one two three"), "the count");

  const told = [];
  const prediction = model.respond("hello", { onPromptProcessingProgress: share => told.push(share) });
  out.text = "";
  const read = async () => {
    for await (const fragment of prediction) out.text += fragment.content;
    return await prediction.result();
  };
  const result = await within(read(), "the reply");
  out.stop = result.stats.stopReason;
  out.prompt = told.at(-1);

  const long = await within(client.llm.model("slow", { verbose: false }), "the second load");
  const cancelled = long.respond("hello");
  const cancel = async () => {
    let heard = 0;
    for await (const _ of cancelled) if (++heard === 3) await cancelled.cancel();
    return await cancelled.result();
  };
  out.cancelled = (await within(cancel(), "the cancelled reply")).stats.stopReason;

  const caller = await within(client.llm.model("caller", { verbose: false }), "the third load");
  const tool = { type: "function", function: { name: "add", parameters: { type: "object", properties: {} } } };
  const asked = caller.respond("add", { rawTools: { type: "toolArray", tools: [tool] } });
  out.tool = (await within(asked.result(), "the tool call")).stats.stopReason;

  const embedder = await within(client.embedding.model("embedder", { verbose: false }), "the embedding model");
  out.embedding = (await within(embedder.embed("hello"), "the embedding")).embedding.length;
  await within(model.unload(), "the unloading");
  out.unloaded = (await within(client.llm.listLoaded(), "what is left")).map(each => each.identifier);
  try {
    await within(client.llm.load("absent", { verbose: false }), "the refusal");
  } catch (error) {
    out.refusal = error.title ?? error.message;
  }
} catch (error) {
  out.failure = String(error.message ?? error);
}
out.complaints = complaints;
console.log(JSON.stringify(out));
process.exit(0);
