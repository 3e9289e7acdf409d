/**
 * Chance that comes out the same whenever a request is evaluated again. Where rows come from afar, an evaluation stops at the first one that is not
 * there, and begins anew when it is: one that drew another page of a large set each time, or another incarnation for a body that it makes
 * and reads again, would never have what it asks for.
 */
import type { Random } from '../../../platform/index.ts';

/** Draws from another source, and from the beginning again after `rewind`. */
export class RepeatedDraws implements Random {
  private readonly source: Random;
  private readonly numbers: number[] = [];
  private readonly strings: Buffer[] = [];
  private nextNumber = 0;
  private nextString = 0;

  constructor(source: Random) {
    this.source = source;
  }

  rewind(): void {
    this.nextNumber = 0;
    this.nextString = 0;
  }

  next(): number {
    const at = this.nextNumber++;
    this.numbers[at] ??= this.source.next();
    return this.numbers[at];
  }

  int(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  bytes(length: number): Buffer {
    const at = this.nextString++;
    const drawn = this.strings[at];
    if (drawn?.length === length) return drawn;
    const bytes = this.source.bytes(length);
    this.strings[at] = bytes;
    return bytes;
  }
}
