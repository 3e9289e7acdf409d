/** Texts of scripts that went by, so that whoever has never heard one can be told it instead of its checksum. */
import { createHash } from 'node:crypto';

/** The newest scripts that have so many bytes together are kept. */
export const MAX_SCRIPT_BYTES = 32 * 1024 ** 2;

export class ScriptCache {
  private readonly maxBytes: number;
  /** By their texts, the one that was met last at the end; undefined while nobody has asked for the checksum. */
  private readonly checksums = new Map<string, string | undefined>();
  private readonly texts = new Map<string, string>();
  /** Scripts without a checksum. */
  private unhashed: string[] = [];
  private held = 0;

  constructor(maxBytes = MAX_SCRIPT_BYTES) {
    this.maxBytes = maxBytes;
  }

  /** Bytes of the scripts that are kept. */
  get bytes(): number {
    return this.held;
  }

  /** Notes a script. A checksum takes longer than all the rest, and most scripts are never asked for by theirs: it is made when it is needed. */
  learn(body: Buffer): void {
    if (body.length > this.maxBytes) return;
    const text = body.toString('latin1');
    const checksum = this.checksums.get(text);
    if (this.checksums.delete(text)) {
      this.checksums.set(text, checksum);
      return;
    }
    this.checksums.set(text, undefined);
    this.unhashed.push(text);
    this.held += text.length;
    while (this.held > this.maxBytes) this.forgetOldest();
  }

  /** @param checksum SHA-1, hexadecimal, lower case @returns undefined when no such script is kept */
  find(checksum: string): Buffer | undefined {
    for (const text of this.unhashed) {
      if (!this.checksums.has(text)) continue;
      const own = createHash('sha1').update(text, 'latin1').digest('hex');
      this.checksums.set(text, own);
      this.texts.set(own, text);
    }
    this.unhashed = [];
    const text = this.texts.get(checksum);
    return text === undefined ? undefined : Buffer.from(text, 'latin1');
  }

  private forgetOldest(): void {
    const [text, checksum] = this.checksums.entries().next().value!;
    this.checksums.delete(text);
    if (checksum !== undefined) this.texts.delete(checksum);
    else this.unhashed = this.unhashed.filter((other) => other !== text);
    this.held -= text.length;
  }
}
