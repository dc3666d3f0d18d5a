/** What the server says in the terminal that it was started in. */
import type { Happening, NodeState } from "../../serve/node-state.ts";

/** Lines that are said at once; of more, the number is told. */
const linesAtOnce = 30;
const window = 10_000;

/** Says lines, and of a flood only its beginning and how much it was. */
export class Notes {
  readonly #write: (line: string) => void;
  #said = 0;
  #unsaid = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(write: (line: string) => void) {
    this.#write = write;
    this.#timer = setInterval(() => this.#turn(), window);
    this.#timer.unref();
  }

  say(line: string): void {
    if (this.#said >= linesAtOnce) this.#unsaid += 1;
    else {
      this.#said += 1;
      this.#write(line);
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#turn();
  }

  #turn(): void {
    if (this.#unsaid > 0) this.#write(`and ${this.#unsaid} more such lines`);
    this.#said = 0;
    this.#unsaid = 0;
  }
}

/** What happened as a line, or null for what need not be said: the steps of an installation and of a first boot. */
export function lineOf(before: string, state: NodeState, happening: Happening): string | null {
  const last = state.timeline.at(-1);
  if (happening.kind === "offered" || last === undefined) return null;
  const news = state.stage !== before || happening.kind !== "report" || last.bad === true;
  return news ? `${state.node}: ${last.text}` : null;
}
