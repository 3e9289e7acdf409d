/** Refusals as bytes between nodes: who was asked by a client says what the leader has said. */
import type { ByteWriter } from '../../../platform/index.ts';
import { DynamoError, type DynamoErrorType } from '../errors/index.ts';
import type { ValueReader } from '../rows/index.ts';

/** Appends a refusal: type, text, further members as JSON. */
export function writeRefusal(writer: ByteWriter, { type, message, members }: DynamoError): void {
  writer.text(type).text(message).text(JSON.stringify(members));
}

/** @throws CorruptRowError */
export function readRefusal(reader: ValueReader): DynamoError {
  // A type that this program does not know goes on to the client as it is: SDKs may know it.
  const type = reader.text() as DynamoErrorType;
  const message = reader.text();
  const text = reader.text();
  let members: unknown;
  try {
    members = JSON.parse(text);
  } catch {
    throw reader.corrupt('has a refusal whose members are no JSON');
  }
  return new DynamoError(type, message, members as Readonly<Record<string, unknown>>);
}
