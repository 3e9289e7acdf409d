/** Strings combined bit by bit, for BITOP. */

export type BitOperation = 'AND' | 'OR' | 'XOR' | 'NOT';

/** Whether a word is one of the operations. */
export const isBitOperation = (name: string): name is BitOperation =>
  name === 'AND' || name === 'OR' || name === 'XOR' || name === 'NOT';

const WORD_BYTES = 4;

/** Bytes as words, a copy unless they begin and end at multiples of a word; the last one is filled up with zeros. */
function wordsOf(bytes: Buffer): Int32Array {
  const length = Math.ceil(bytes.length / WORD_BYTES);
  if (bytes.byteOffset % WORD_BYTES === 0 && bytes.length % WORD_BYTES === 0) {
    return new Int32Array(bytes.buffer, bytes.byteOffset, length);
  }
  const copy = new Int32Array(length);
  bytes.copy(new Uint8Array(copy.buffer));
  return copy;
}

/** Combines words with those of `result` in place. The loops are apart so that each is compiled for one operation. */
function combineInto(result: Int32Array, operation: BitOperation, source: Int32Array): void {
  const { length } = source;
  if (operation === 'AND') for (let at = 0; at < length; at++) result[at]! &= source[at]!;
  else if (operation === 'OR') for (let at = 0; at < length; at++) result[at]! |= source[at]!;
  else if (operation === 'XOR') for (let at = 0; at < length; at++) result[at]! ^= source[at]!;
  else for (let at = 0; at < length; at++) result[at] = ~source[at]!;
}

/** Combines strings bitwise; shorter ones are padded with zeros. `NOT` takes one. */
export function combined(operation: BitOperation, sources: readonly Buffer[]): Buffer {
  const length = sources.reduce((longest, source) => Math.max(longest, source.length), 0);
  const words = new Int32Array(Math.ceil(length / WORD_BYTES));
  const result = Buffer.from(words.buffer, 0, length);
  const [first, ...others] = sources as readonly [Buffer, ...Buffer[]];
  first.copy(result);
  for (const source of operation === 'NOT' ? [first] : others) {
    const sourceWords = wordsOf(source);
    combineInto(words, operation, sourceWords);
    if (operation === 'AND') words.fill(0, sourceWords.length);
  }
  return result;
}
