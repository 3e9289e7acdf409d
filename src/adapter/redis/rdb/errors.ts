/** What can be wrong with bytes in Redis' file format. */

/** The bytes are not what Redis writes, or are of a kind that is not read here. */
export class RdbFormatError extends Error {
  override readonly name = 'RdbFormatError';
}
