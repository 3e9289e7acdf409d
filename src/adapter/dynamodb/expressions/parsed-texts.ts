/**
 * Texts that were parsed before. Clients send the same few texts over and over with other values; what the text alone says is kept, the least used
 * goes first.
 */

/** Characters of all texts together; the trees take some ten times that. */
const MAX_CHARACTERS = 512 * 1024;

/** See the top of the file. */
export class ParsedTexts<Parsed> {
  private readonly parse: (text: string) => Parsed;
  /** In the order of their last use. */
  private readonly kept = new Map<string, Parsed>();
  private characters = 0;

  /** @param parse throws for texts that are wrong; these are not kept */
  constructor(parse: (text: string) => Parsed) {
    this.parse = parse;
  }

  of(text: string): Parsed {
    const known = this.kept.get(text);
    if (known !== undefined) {
      this.kept.delete(text);
      this.kept.set(text, known);
      return known;
    }
    const parsed = this.parse(text);
    this.kept.set(text, parsed);
    this.characters += text.length;
    for (const oldest of this.kept.keys()) {
      if (this.characters <= MAX_CHARACTERS) break;
      this.kept.delete(oldest);
      this.characters -= oldest.length;
    }
    return parsed;
  }
}
