/** What can be wrong with bytes in Redis' file format. */

/** The bytes are not what Redis writes, or are of a kind that is not read here. */
export class RdbFormatError extends Error {
  override readonly name: string = 'RdbFormatError';
}

/** More bytes were to be there than there are. Whoever reads a stream waits for them. */
export class RdbEndError extends RdbFormatError {
  override readonly name: string = 'RdbEndError';

  constructor() {
    super('the bytes end too early');
  }
}
