/**
 * A set of keys in two bytes each that may take a key for one of its own, about one of a thousand (Bloom 1970; blocked: Putze, Sanders, Singler 2007). It grows
 * by layers, each four times as large as the one before; when its budget is used up, more keys make more mistakes.
 */

/** All bits of a key lie in one block of this many words: one line of the processor's cache. */
const BLOCK_WORDS = 16;
const BLOCK_BYTES = BLOCK_WORDS * 4;
const BYTES_PER_KEY = 2;
const BITS_OF_KEY = 8;
const FIRST_LAYER_BYTES = 32 << 10;
const GROWTH = 4;
const TWO_TO_32 = 2 ** 32;

interface Layer {
  readonly words: Uint32Array;
  readonly blocks: number;
  readonly capacity: number;
}

function layerOf(bytes: number): Layer {
  const blocks = Math.max(1, Math.floor(bytes / BLOCK_BYTES));
  return { words: new Uint32Array(blocks * BLOCK_WORDS), blocks, capacity: (blocks * BLOCK_BYTES) / BYTES_PER_KEY };
}

/** Mixes all bits of a number into all bits (MurmurHash3's last step). */
function mixed(bits: number): number {
  let hash = bits;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** See the top of the file. */
export class KeyFilter {
  private readonly budgetBytes: number;
  private readonly layers: Layer[] = [];
  private usedBytes = 0;
  /** Keys in the newest layer. */
  private filled = 0;
  /** Hashes of the key that was given last: where its block is, and which bits of it. */
  private place = 0;
  private start = 0;
  private step = 0;

  /**
   * @param budgetBytes what it may take, about
   * @param expectedKeys for how many to make room at first
   */
  constructor(budgetBytes: number, expectedKeys = 0) {
    this.budgetBytes = budgetBytes;
    this.grow(Math.max(FIRST_LAYER_BYTES, expectedKeys * BYTES_PER_KEY));
  }

  /** There are more keys than it has room for: it makes more mistakes than it should. */
  get isCrowded(): boolean {
    return this.filled > this.layers.at(-1)!.capacity;
  }

  /** What it takes. */
  get sizeBytes(): number {
    return this.usedBytes;
  }

  private grow(bytes: number): boolean {
    const left = this.budgetBytes - this.usedBytes;
    // A small layer at the end would be full at once.
    if (this.layers.length > 0 && left < bytes / GROWTH) return false;
    const layer = layerOf(Math.min(bytes, Math.max(left, FIRST_LAYER_BYTES)));
    this.layers.push(layer);
    this.usedBytes += layer.words.byteLength;
    this.filled = 0;
    return true;
  }

  private hash(name: string): void {
    let place = 0x811c9dc5;
    let bits = 0x9747b28c;
    for (let at = 0; at < name.length; at++) {
      const code = name.charCodeAt(at);
      place = Math.imul(place ^ code, 0x01000193);
      bits = Math.imul(bits ^ code, 0x5bd1e995) ^ (bits >>> 15);
    }
    this.place = mixed(place) >>> 0;
    this.start = mixed(bits);
    this.step = mixed(place ^ bits) | 1;
  }

  /** @param name latin-1 text of a key */
  add(name: string): void {
    this.hash(name);
    let layer = this.layers.at(-1)!;
    if (this.filled >= layer.capacity && this.grow(GROWTH * layer.words.byteLength)) layer = this.layers.at(-1)!;
    const { words, blocks } = layer;
    const block = Math.floor((this.place / TWO_TO_32) * blocks) * BLOCK_WORDS;
    let bit = this.start;
    for (let left = BITS_OF_KEY; left > 0; left--) {
      words[block + (bit >>> 28)]! |= 1 << ((bit >>> 23) & 31);
      bit = (bit + this.step) | 0;
    }
    this.filled++;
  }

  /** False is certain. @param name latin-1 text of a key */
  mayHave(name: string): boolean {
    this.hash(name);
    // Most keys are in the newest layer, which is larger than all before it.
    for (let at = this.layers.length - 1; at >= 0; at--) if (this.isIn(this.layers[at]!)) return true;
    return false;
  }

  private isIn({ words, blocks }: Layer): boolean {
    const block = Math.floor((this.place / TWO_TO_32) * blocks) * BLOCK_WORDS;
    let bit = this.start;
    for (let left = BITS_OF_KEY; left > 0; left--) {
      if ((words[block + (bit >>> 28)]! & (1 << ((bit >>> 23) & 31))) === 0) return false;
      bit = (bit + this.step) | 0;
    }
    return true;
  }
}
