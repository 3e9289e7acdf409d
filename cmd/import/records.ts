/** The records of a file of Redis, as its bytes come. */
import { RdbFileParser, type RdbRecord } from '../../src/adapter/redis/index.ts';

export interface PlacedRecord {
  readonly record: RdbRecord;
  /** The byte of the file behind it. */
  readonly end: number;
}

/** @throws RdbFormatError for a file that is damaged */
export async function* recordsOf(file: AsyncIterable<Buffer>): AsyncGenerator<PlacedRecord> {
  const parser = new RdbFileParser();
  function* ready(): Generator<PlacedRecord> {
    for (let record = parser.next(); record !== undefined; record = parser.next())
      yield { record, end: parser.position };
  }
  for await (const chunk of file) {
    parser.feed(chunk);
    yield* ready();
  }
  parser.finish();
  yield* ready();
}
