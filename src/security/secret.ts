/** Text that must not be shown: printed, logged, serialised or inspected, it is a placeholder. */
import { inspect } from 'node:util';

/** What is shown in its place. */
export const HIDDEN = '(hidden)';

/** See the top of the file. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text itself, for the one place that needs it. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return HIDDEN;
  }

  toJSON(): string {
    return HIDDEN;
  }

  [inspect.custom](): string {
    return HIDDEN;
  }
}
