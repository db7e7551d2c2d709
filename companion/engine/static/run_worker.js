// Python in a process of its own, so that pages stay alive. Where the browser has it, the process is
// shared by all pages of the book and outlives the way from one to the next (SharedWorker with
// `extendedLifetime`), so that Python starts once; elsewhere each page has its own. It loads Pyodide
// from the book's own address at the first request, and says how many bytes have come.
"use strict";

const HELPERS = `
import base64, copy, io, os, sys, traceback
os.environ["MPLBACKEND"] = "agg"
sys.path.insert(0, os.getcwd())
_pages = {}

class _Page:
    """The names of a page's programs; of its exercises, what each left when it last ended well."""

    def __init__(self):
        self.names, self.left, self.last, self.runs = {"__name__": "__main__"}, {}, {}, 0

    def before(self, place):
        """What the exercises above left: the number of that run, and its names."""
        above = [one for one in self.left if one < place]
        return self.left[max(above)] if above else (0, {"__name__": "__main__"})

    async def value(self, place, code, again):
        """The last value of a program, and whether it ran: not if it did so before from the same."""
        from pyodide.code import eval_code_async
        if place < 0:  # a notebook: cells go on from each other in the order in which they run
            return await eval_code_async(code, self.names, filename="<cell>"), True
        number, names = self.before(place)
        if not again and self.last.get(place, ())[:2] == (code, number):
            return self.last[place][2], False
        self.last.pop(place, None)
        self.names.clear()
        self.names |= _copied(names)
        value = await eval_code_async(code, self.names, filename="<cell>")
        self.runs += 1
        self.left[place] = self.runs, _shared(self.names, names)
        self.last[place] = code, number, value
        return value, True

def _copied(names):
    """Copies, so that what a program changes in place, as a generator, is as it was for the next."""
    memo, copies = {}, {}
    for name, value in names.items():
        try:
            copies[name] = copy.deepcopy(value, memo)
        except Exception:
            copies[name] = value
    return copies

def _shared(names, before):
    """The names, with equal arrays taken from before: they need no room twice."""
    import numpy as np
    same = lambda a, b: type(a) is type(b) is np.ndarray and a.dtype == b.dtype and np.array_equal(a, b)
    return {name: before[name] if same(of, before.get(name)) else of for name, of in names.items()}

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

def _why(error, place):
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == "<cell>"]
    line = f" (line {own[-1].lineno})" if own else ""
    if isinstance(error, KeyboardInterrupt):
        return f"Stopped{line}."
    more = ""
    if isinstance(error, NameError) and place >= 0:
        more = ". A box knows what the boxes above it defined, and nothing of its own earlier runs."
    return f"{type(error).__name__}{line}: {error}{more}"

async def _run(page, place, code, label):
    of, ran = _pages.setdefault(page, _Page()), True
    sys.modules["__main__"].In = ["", code]
    try:
        value, ran = await of.value(place, code, not label)
        if label:
            from check import check
            if value is None:
                print("The last line gives no value: write your answer there.")
            else:
                check(label, *(value if isinstance(value, tuple) else (value,)))
        elif value is not None and not type(value).__module__.startswith("matplotlib"):
            print(repr(value))
        return "", _figures(), ran
    except BaseException as error:
        return _why(error, place), [], True
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
`;

const MOST = 20_000; // letters of output that a page shows
const EVERY = 100; // milliseconds between two messages with output
const ASKED = 250; // and between two looks whether to stop

const ports = new Set(); // the pages that listen
let python = null;
let received = 0;
let queue = Promise.resolve(); // requests of all pages, one after the other
const fetched = new Set();
const plain = self.fetch.bind(self);
const tell = (message) => ports.forEach((port) => port.postMessage(message));

/** Fetch, and tell the pages how much has come. */
self.fetch = async (...request) => {
  const answer = await plain(...request);
  if (!answer.ok || !answer.body) return answer;
  const counted = new TransformStream({
    transform(chunk, control) {
      received += chunk.length;
      tell({ kind: "bytes", received });
      control.enqueue(chunk);
    },
  });
  const { status, headers } = answer;
  return new Response(answer.body.pipeThrough(counted), { status, headers });
};

/** A page stops a run by revoking an address that it made for it, which can be seen without waiting. */
const running = { address: "", asked: 0,
  get 0() {
    const now = Date.now();
    if (!this.address || now - this.asked < ASKED) return 0;
    this.asked = now;
    const request = new XMLHttpRequest();
    try {
      request.open("GET", this.address, false);
      request.send();
      return 0;
    } catch {
      this.address = "";
      return 2; // SIGINT
    }
  },
  set 0(_) { /* Python resets it */ },
};

const load = async (lite) => {
  const { loadPyodide } = await import(`${lite}pyodide.mjs`);
  const started = await loadPyodide({ indexURL: lite });
  await started.loadPackage("numpy", { messageCallback: () => {} });
  started.runPython(HELPERS);
  started.setInterruptBuffer(running);
  fetched.clear();
  tell({ kind: "ready" });
  return started;
};

/** Files that code names, beside it as they are in the archive that is handed out. */
const bring = async (files, code, teach) => {
  for (const name of files) {
    const wanted = code.includes(name.replace(/\.py$/, "")) || name.startsWith("check.");
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

/** What a program prints, in pieces of one kind, in batches, and no more than can be read. */
const output = (send) => {
  const pieces = [];
  let [length, sent] = [0, 0];
  const say = (kind) => (line) => {
    if (length > MOST) return;
    length += line.length + 1;
    const text = length > MOST ? "… (what comes after 20,000 letters is not shown)" : line;
    if (pieces.at(-1)?.kind === kind) pieces.at(-1).text += `${text}\n`;
    else pieces.push({ kind, text: `${text}\n` });
    if (length > MOST || Date.now() - sent > EVERY) {
      sent = Date.now();
      send(pieces);
    }
  };
  return { pieces, say };
};

const run = async (port, { id, lite, teach, files, code, label, page, place, stop, answers: before }) => {
  const { pieces, say } = output((some) => port.postMessage({ kind: "text", id, pieces: some }));
  try {
    python ??= await load(lite);
    port.postMessage({ kind: "running", id });
    await bring(files, code, teach);
    await python.loadPackagesFromImports(code, { messageCallback: () => {} });
    python.setStdout({ batched: say("out") });
    python.setStderr({ batched: say("err") });
    python.FS.writeFile(KEPT, before);
    running.address = stop;
    const call = python.globals.get("_run");
    const [wrong, figures, ran] = (await call(page, place, code, label ?? "")).toJs();
    const answers = read();
    port.postMessage({ kind: "done", id, pieces, wrong, figures, ran, answers: answers === before ? "" : answers });
  } catch (error) {
    const wrong = String(error.message ?? error);
    if (/fatal/i.test(`${error.name} ${wrong}`) || python?._api?.fatal_error) python = null; // start anew next time
    port.postMessage({ kind: "done", id, pieces, wrong, figures: [], ran: true });
  } finally {
    running.address = "";
  }
};

const hear = (port) => ({ data }) => {
  if (data.kind === "end") return self.close();
  if (data.kind === "leave") return ports.delete(port);
  queue = queue.then(async () => {
    if (data.kind === "run") return run(port, data);
    if (data.kind === "forget") return python?.runPython("_pages.clear()");
    python ??= await load(data.lite); // to start before it is needed
    port.postMessage({ kind: "ready" });
  }).catch((error) => port.postMessage({ kind: "failed", wrong: String(error.message ?? error) }));
};

if ("onconnect" in self) {
  self.onconnect = ({ ports: [port] }) => {
    ports.add(port);
    port.onmessage = hear(port);
    if (python) port.postMessage({ kind: "ready" });
  };
} else {
  ports.add(self);
  self.onmessage = hear(self);
}
