// Python in a process of its own, so that the page stays alive: it loads Pyodide from the book's own
// address at the first request, and says how many bytes have come.
"use strict";

const HELPERS = `
import base64, builtins, io, os, sys, traceback
os.environ["MPLBACKEND"] = "agg"
sys.path.insert(0, os.getcwd())
_names = {"__name__": "__main__"}

def _figures():
    if "matplotlib.pyplot" not in sys.modules:
        return []
    from matplotlib import pyplot
    drawn = []
    for number in pyplot.get_fignums():
        kept = io.BytesIO()
        pyplot.figure(number).savefig(kept, format="png", dpi=90, bbox_inches="tight")
        drawn.append(base64.b64encode(kept.getvalue()).decode())
    pyplot.close("all")
    return drawn

def _why(error):
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == "<cell>"]
    line = f" (line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}{line}: {error}"

async def _run(code, label):
    from pyodide.code import eval_code_async
    try:
        value = await eval_code_async(code, _names, filename="<cell>")
        if label:
            from check import check
            if value is None:
                print("The last line gives no value: write your answer there.")
            else:
                check(label, *(value if isinstance(value, tuple) else (value,)))
        elif value is not None and not type(value).__module__.startswith("matplotlib"):
            print(repr(value))
        return "", _figures()
    except BaseException as error:
        return _why(error), []
`;

let python = null;
let received = 0;
const fetched = new Set();
const plain = self.fetch.bind(self);

/** Fetch, and tell the page how much has come. */
self.fetch = async (...request) => {
  const answer = await plain(...request);
  if (!answer.ok || !answer.body) return answer;
  const counted = new TransformStream({
    transform(chunk, control) {
      received += chunk.length;
      self.postMessage({ kind: "bytes", received });
      control.enqueue(chunk);
    },
  });
  const { status, headers } = answer;
  return new Response(answer.body.pipeThrough(counted), { status, headers });
};

const load = async (lite) => {
  const { loadPyodide } = await import(`${lite}pyodide.mjs`);
  const started = await loadPyodide({ indexURL: lite });
  await started.loadPackage("numpy", { messageCallback: () => {} });
  started.runPython(HELPERS);
  return started;
};

/** Files that code names, beside it as they are in the archive that is handed out. */
const bring = async (files, code, teach) => {
  for (const name of files) {
    const wanted = code.includes(name) || name.startsWith("check.");
    if (!wanted || fetched.has(name)) continue;
    const answer = await plain(`${teach}${name}`);
    if (answer.ok) python.FS.writeFile(name, new Uint8Array(await answer.arrayBuffer()));
    fetched.add(name);
  }
};

/** What `check` keeps, as the page has it before code runs, and as it is afterwards. */
const KEPT = "answers.json";
const read = () => {
  try {
    return python.FS.readFile(KEPT, { encoding: "utf8" });
  } catch {
    return "";
  }
};

self.onmessage = async ({ data: { id, lite, teach, files, code, label, answers: before } }) => {
  let text = "";
  try {
    python ??= await load(lite);
    self.postMessage({ kind: "ready", id });
    await bring(files, code, teach);
    await python.loadPackagesFromImports(code, { messageCallback: () => {} });
    const say = (line) => {
      text += `${line}\n`;
      self.postMessage({ kind: "text", id, text });
    };
    python.setStdout({ batched: say });
    python.setStderr({ batched: () => {} });
    python.FS.writeFile(KEPT, before);
    const run = python.globals.get("_run");
    const [wrong, figures] = (await run(code, label ?? "")).toJs();
    const answers = read();
    self.postMessage({ kind: "done", id, text, wrong, figures, answers: answers === before ? "" : answers });
  } catch (error) {
    self.postMessage({ kind: "done", id, text, wrong: String(error.message ?? error), figures: [] });
  }
};
