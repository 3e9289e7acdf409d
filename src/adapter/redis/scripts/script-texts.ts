/** Scripts that this node knows by their SHA-1. Those that were used last stay. */

/** Most scripts, and most bytes of them, that are kept. */
const MAX_SCRIPTS = 10_000;
const MAX_BYTES = 64 * 1024 * 1024;

export class ScriptTexts {
  private readonly texts = new Map<string, Buffer>();
  private bytes = 0;

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
