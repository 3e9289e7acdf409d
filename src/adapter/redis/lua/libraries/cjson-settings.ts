/** What scripts can change about JSON. */
export interface JsonSettings {
  /** Sparse arrays become objects; otherwise they are refused. */
  convertSparse: boolean;
  /** An array is sparse when its highest index is more than so many times its elements; 0 for never. */
  sparseRatio: number;
  /** Arrays whose highest index is not above this are never sparse. */
  sparseSafe: number;
  encodeDepth: number;
  decodeDepth: number;
  /** Significant digits of numbers. */
  digits: number;
  keepBuffer: boolean;
  /** What becomes of numbers that JSON has no word for: refused, written as C does, or null. */
  encodeInvalid: 'off' | 'on' | 'null';
  /** Whether numbers are taken that are none in JSON: hexadecimal ones, infinities and the like. */
  decodeInvalid: 'off' | 'on';
}

export const DEFAULT_JSON_SETTINGS: Readonly<JsonSettings> = {
  convertSparse: false,
  sparseRatio: 2,
  sparseSafe: 10,
  encodeDepth: 1_000,
  decodeDepth: 1_000,
  digits: 14,
  keepBuffer: true,
  encodeInvalid: 'off',
  decodeInvalid: 'on',
};
