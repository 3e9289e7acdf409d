/** Parts that know each other, made one after the other. */
import { assert } from '../platform/index.ts';

/** A part that is made after one that calls it. To be set once, before anything runs; asking earlier is a mistake of who puts a node together. */
export class Later<Part> {
  private readonly name: string;
  private part: Part | undefined;

  /** @param name for the assertion */
  constructor(name: string) {
    this.name = name;
  }

  set(part: Part): void {
    assert(this.part === undefined, `${this.name} is made once`);
    this.part = part;
  }

  get(): Part {
    assert(this.part !== undefined, `${this.name} is asked before it is made`);
    return this.part;
  }
}
