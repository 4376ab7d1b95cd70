// What hands do: keys, a pad for thumb or mouse, buttons held, a gamepad. One velocity and one gripper come out.

const KEYS = {
  KeyW: [-1, 0, 0], ArrowUp: [-1, 0, 0], KeyS: [1, 0, 0], ArrowDown: [1, 0, 0],
  KeyA: [0, -1, 0], ArrowLeft: [0, -1, 0], KeyD: [0, 1, 0], ArrowRight: [0, 1, 0],
  KeyQ: [0, 0, 1], PageUp: [0, 0, 1], KeyE: [0, 0, -1], PageDown: [0, 0, -1],
};
const SLOWLY = 0.3, AGAIN_MS = 150, DEAD_ZONE = 0.18;

const add = (a, b) => a.map((value, i) => value + b[i]);
const bounded = (move) => move.map((value) => Math.max(-1, Math.min(1, Math.round(value * 1000) / 1000)));

export class Hands {
  // send(move, grip): called when something changed and, while moving, again and again. actions: what single keys do.
  constructor(send, actions) {
    this.send = send;
    this.actions = actions;
    this.down = new Set();
    this.pad = [0, 0, 0];
    this.lift = [0, 0, 0];
    this.stick = [0, 0, 0];
    this.grip = false;
    this.slow = false;
    this.last = "";
    this.at = 0;
    this.buttons = [];
    addEventListener("keydown", (event) => this.key(event, true));
    addEventListener("keyup", (event) => this.key(event, false));
    addEventListener("blur", () => this.rest());
    document.addEventListener("visibilitychange", () => document.hidden && this.rest());
    this.watchPad(document.getElementById("pad"));
    this.watchHold(document.getElementById("up"), [0, 0, 1]);
    this.watchHold(document.getElementById("down"), [0, 0, -1]);
    setInterval(() => this.beat(), 50);
  }

  key(event, pressed) {
    this.slow = event.shiftKey;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const typing = event.target.closest?.("input, select, textarea, video");
    const onButton = event.target.closest?.("button, a");
    if (event.code in KEYS) {
      if (typing && pressed) return;
      pressed ? this.down.add(event.code) : this.down.delete(event.code);
      if (!typing) event.preventDefault();
      this.beat();
    } else if (pressed && !event.repeat && !typing) {
      if (event.code === "Space" && !onButton) {
        event.preventDefault();
        this.toggle();
      } else if (event.code in this.actions) {
        event.preventDefault();
        this.actions[event.code]();
      }
    }
  }

  toggle() {
    this.grip = !this.grip;
    this.beat();
  }

  rest() {
    this.down.clear();
    this.pad = this.lift = [0, 0, 0];
    this.beat();
  }

  watchPad(pad) {
    const knob = pad.querySelector("i");
    const move = (event) => {
      const box = pad.getBoundingClientRect(), reach = box.width / 2 - 20;
      let x = (event.clientX - box.left - box.width / 2) / reach, y = (event.clientY - box.top - box.height / 2) / reach;
      const length = Math.max(1, Math.hypot(x, y));
      [x, y] = [x / length, y / length];
      knob.style.transform = `translate(${x * reach}px, ${y * reach}px)`;
      this.pad = Math.hypot(x, y) < DEAD_ZONE ? [0, 0, 0] : [y, x, 0];
      this.beat();
    };
    const rest = () => {
      knob.style.transform = "";
      this.pad = [0, 0, 0];
      this.beat();
    };
    pad.addEventListener("pointerdown", (event) => { pad.setPointerCapture(event.pointerId); move(event); });
    pad.addEventListener("pointermove", (event) => pad.hasPointerCapture(event.pointerId) && move(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) pad.addEventListener(end, rest);
  }

  watchHold(button, direction) {
    const set = (on) => {
      this.lift = on ? direction : [0, 0, 0];
      button.classList.toggle("held", on);
      this.beat();
    };
    button.addEventListener("pointerdown", (event) => { button.setPointerCapture(event.pointerId); set(true); });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) button.addEventListener(end, () => set(false));
    button.addEventListener("keydown", (event) => ["Space", "Enter"].includes(event.code) && set(true));
    button.addEventListener("keyup", (event) => ["Space", "Enter"].includes(event.code) && set(false));
    button.addEventListener("blur", () => set(false));
    button.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  readGamepad() {
    const gamepad = navigator.getGamepads?.().find((one) => one?.connected);
    if (!gamepad) { this.stick = [0, 0, 0]; return; }
    const axis = (i) => (Math.abs(gamepad.axes[i] ?? 0) < DEAD_ZONE ? 0 : gamepad.axes[i]);
    this.stick = [axis(1), axis(0), -axis(3)];
    const pressed = gamepad.buttons.map((button) => button.pressed);
    const fresh = (i) => pressed[i] && !this.buttons[i];
    if (fresh(0)) this.grip = !this.grip;
    if (fresh(9)) this.actions.KeyP();
    if (fresh(8)) this.actions.KeyR();
    if (fresh(3)) this.actions.KeyT();
    this.buttons = pressed;
  }

  beat() {
    this.readGamepad();
    let move = [...this.down].map((code) => KEYS[code]).reduce(add, [0, 0, 0]);
    if (this.slow) move = move.map((value) => value * SLOWLY);
    move = bounded([this.pad, this.lift, this.stick].reduce(add, move));
    const state = JSON.stringify([move, this.grip]), now = performance.now();
    if (state === this.last && (move.every((value) => !value) || now - this.at < AGAIN_MS)) return;
    [this.last, this.at] = [state, now];
    this.send(move, this.grip);
  }

  // The server knows better: the policy drove, or the world began anew.
  agree(grip) {
    this.grip = grip;
    this.last = JSON.stringify([JSON.parse(this.last || "[[0,0,0],false]")[0], grip]);
  }
}
