/** Scripts that this node knows by their SHA-1. Those that were used last stay. */
import { createHash } from 'node:crypto';

/** Most scripts, and most bytes of them, that are kept. */
const MAX_SCRIPTS = 10_000;
const MAX_BYTES = 64 * 1024 * 1024;
/** Scripts that were asked for last, which are recognized by their text: comparing costs a tenth of hashing. */
const RECENT = 4;

export class ScriptTexts {
  /** Of all texts together. */
  bytes = 0;
  private readonly texts = new Map<string, Buffer>();
  private readonly recent: { readonly sha: string; readonly text: Buffer }[] = [];

  /** Hexadecimal SHA-1 of a text. A client sends the same few scripts all the time, and each is asked for where it comes in and where it runs. */
  shaOf(text: Buffer): string {
    const known = this.recent.find((one) => one.text.equals(text));
    if (known !== undefined) return known.sha;
    const sha = createHash('sha1').update(text).digest('hex');
    this.recent.unshift({ sha, text: Buffer.from(text) });
    if (this.recent.length > RECENT) this.recent.pop();
    return sha;
  }

  get count(): number {
    return this.texts.size;
  }

  find(sha: string): Buffer | undefined {
    const text = this.texts.get(sha);
    if (text !== undefined) {
      this.texts.delete(sha);
      this.texts.set(sha, text);
    }
    return text;
  }

  keep(sha: string, text: Buffer): void {
    if (this.find(sha) !== undefined) return;
    // A copy: what it lies in may be a whole packet.
    this.texts.set(sha, Buffer.from(text));
    this.bytes += text.length;
    for (const [oldest, old] of this.texts) {
      if (this.texts.size <= MAX_SCRIPTS && this.bytes <= MAX_BYTES) return;
      this.texts.delete(oldest);
      this.bytes -= old.length;
    }
  }

  clear(): void {
    this.texts.clear();
    this.bytes = 0;
  }
}
