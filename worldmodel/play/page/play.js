// The page: one socket, the buttons, and where things stand.

import { Hands } from "./controls.js";
import { byId, clip, notice, View } from "./view.js";

const SPOKEN_MS = 6000;
let socket, view, hello, hands, status = { paused: true, ready: true }, latest = null, spoke = -Infinity;

const say = (type, values = {}) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify({ type, ...values }));

const actions = {
  KeyP: () => say("pause", { on: !status.paused }),
  KeyN: () => say("step"),
  KeyR: () => reset(),
  KeyT: () => say("policy", { on: !status.policy, observes: byId("observes").value }),
  KeyV: () => say("record", { on: status.recording === null }),
};

function connect() {
  socket = new WebSocket(`ws://${location.host}/socket`);
  socket.binaryType = "arraybuffer";
  let reason = "the connection was lost";
  show("wait", "starting the simulator");
  socket.onmessage = async ({ data }) => {
    if (data instanceof ArrayBuffer) {
      const header = await view.draw(data);
      say("seen", { tick: header.tick });
      document.body.dataset.tick = header.tick;
      latest = header;
      stand(header);
      speak();
      return;
    }
    const word = JSON.parse(data);
    if (word.type === "hello") greet(word);
    else if (word.type === "status") { stand(word); speak(); }
    else if (word.type === "notice") notice(word.text, word.bad);
    else if (word.type === "clip") clip(word.name, word.seconds);
    else if (word.type === "farewell") reason = word.text;
  };
  socket.onclose = ({ code }) => {
    if (code === 1009) reason = "closed: a message was too long";
    show("bad", "not connected");
    for (const button of document.querySelectorAll("#controls button, #reset")) button.disabled = true;
    const again = document.createElement("button");
    again.textContent = "Connect again";
    again.onclick = () => { byId("notices").replaceChildren(); connect(); };
    notice(reason, true, again);
  };
}

function greet(word) {
  hello = word;
  view = new View(hello);
  const kinds = [["seed", "Seed"]];
  for (const [split, count] of Object.entries(hello.starts)) kinds.unshift([`start ${split}`, `Initial state, ${split} (0–${count - 1})`]);
  if (hello.data) kinds.unshift(["data", `Recorded frame of ${hello.data.name}`]);
  const before = byId("kind").value;
  byId("kind").replaceChildren(...kinds.map(([value, text]) => new Option(text, value)));
  byId("kind").value = kinds.some(([value]) => value === before) ? before : kinds.find(([value]) => value.startsWith("start v"))?.[0] ?? "seed";
  for (const button of document.querySelectorAll("#controls button, #reset")) button.disabled = false;
  byId("policy").disabled = !hello.drives;
  limit();
}

// The form's limits follow what is chosen.
function limit() {
  const kind = byId("kind").value, data = kind === "data";
  byId("step-field").hidden = !data;
  byId("at").disabled = !data;
  byId("number-label").textContent = { data: "episode", seed: "number" }[kind] ?? "number";
  const lengths = hello.data?.lengths ?? [];
  byId("number").max = data ? lengths.length - 1 : kind === "seed" ? 2 ** 31 - 1 : hello.starts[kind.slice(6)] - 1;
  byId("at").max = (lengths[Number(byId("number").value)] ?? 1) - 1;
}

function reset() {
  const form = byId("reset-form");
  if (!form.reportValidity()) return;
  const kind = byId("kind").value, number = Number(byId("number").value);
  const place = kind === "data" ? { kind, number, step: Number(byId("at").value) }
    : kind === "seed" ? { kind, number } : { kind: "start", split: kind.slice(6), number };
  say("reset", { place });
}

function press(id, on, text) {
  byId(id).setAttribute("aria-pressed", String(on));
  byId(id).querySelector("span").textContent = text;
}

function show(state, text) {
  byId("state").dataset.state = state;
  if (byId("state-text").textContent !== text) byId("state-text").textContent = text;
}

function stand(now) {
  const changed = ["paused", "policy", "grip", "place"].some((key) => status[key] !== now[key]) || (status.recording === null) !== (now.recording === null);
  if (now.grip !== status.grip || now.policy) hands.agree(now.grip);
  status = now;
  const driver = now.policy ? "policy drives" : "running";
  show(now.ready ? "ready" : now.paused ? "wait" : "run", now.ready ? "ready: press a key" : now.paused ? "paused" : driver);
  byId("pause").classList.toggle("running", !now.paused);
  byId("pause").querySelector("span").textContent = now.paused ? "Run" : "Pause";
  press("grip", now.grip, now.grip ? "Open gripper" : "Close gripper");
  press("policy", now.policy, now.policy ? "Take over" : "Let the policy drive");
  press("record", now.recording !== null, now.recording === null ? "Record" : `Stop, ${(now.recording / 20).toFixed(1)} s`);
  if (changed) spoke = -Infinity;
}

// For those who listen: where things stand, now and then, and at once when something changed.
function speak() {
  const now = performance.now();
  if (latest === null || now - spoke < SPOKEN_MS) return;
  spoke = now;
  const pictures = hello.cameras.map((camera) => `${camera} ${latest.psnr[camera].toFixed(0)} decibels`).join(", ");
  byId("spoken").textContent = `${byId("state-text").textContent}, from ${latest.place}. ${pictures}, grippers ${latest.gap.toFixed(0)} millimetres apart, ${latest.fps.toFixed(0)} steps a second.`;
}

hands = new Hands((move, grip) => say("drive", { move, grip }), actions);
byId("grip").onclick = () => hands.toggle();
for (const [id, code] of [["pause", "KeyP"], ["step", "KeyN"], ["policy", "KeyT"], ["record", "KeyV"]]) byId(id).onclick = actions[code];
byId("observes").onchange = () => status.policy && say("policy", { on: true, observes: byId("observes").value });
byId("reset-form").onsubmit = (event) => { event.preventDefault(); reset(); };
byId("kind").onchange = byId("number").oninput = limit;
// After a click the keys drive again; a focus that came by Tab stays.
document.addEventListener("click", (event) => event.detail > 0 && event.target.closest("button")?.blur());
connect();
