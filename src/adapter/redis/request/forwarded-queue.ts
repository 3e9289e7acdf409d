/**
 * The commands of a transaction that came from another node. There may be a hundred thousand of them: what each of them is and where it ends is looked at
 * when the message comes, and its arguments are read when somebody asks, which is when it is evaluated, some a turn.
 */
import { ByteReader } from '../../../platform/index.ts';
import type { CommandSpec } from '../command/index.ts';
import type { QueuedData } from './storage-keys.ts';

/** Of the length in front of an argument. */
const LENGTH_BYTES = 4;

/** Says where it is, for what is read later. */
export class MessageReader extends ByteReader {
  get payload(): Buffer {
    return this.buffer;
  }

  get position(): number {
    return this.offset;
  }
}

/** A command of a transaction, whose arguments are read when somebody asks: those of a hundred thousand commands are a quarter of a second of work. */
class ForwardedCommand implements QueuedData {
  readonly spec: CommandSpec;
  readonly db: number;
  readonly argumentCount: number;
  /** Where the arguments are in the message, behind their number. */
  private readonly payload: Buffer;
  private readonly at: number;
  private read: readonly Buffer[] | undefined;

  constructor(spec: CommandSpec, db: number, argumentCount: number, payload: Buffer, at: number) {
    this.spec = spec;
    this.db = db;
    this.argumentCount = argumentCount;
    this.payload = payload;
    this.at = at;
  }

  get args(): readonly Buffer[] {
    this.read ??= viewsAt(this.payload, this.at, this.argumentCount);
    return this.read;
  }
}

/** Bytes with their lengths, which were passed over before. */
function viewsAt(payload: Buffer, from: number, count: number): Buffer[] {
  const views: Buffer[] = [];
  for (let at = from; views.length < count; ) {
    const start = at + LENGTH_BYTES;
    at = start + payload.readUInt32BE(at);
    views.push(payload.subarray(start, at));
  }
  return views;
}

/** Whether the bytes with their length that begin at an offset are these. */
const isAt = (payload: Buffer, at: number, bytes: Buffer): boolean =>
  payload.readUInt32BE(at) === bytes.length &&
  payload.compare(bytes, 0, bytes.length, at + LENGTH_BYTES, at + LENGTH_BYTES + bytes.length) === 0;

/**
 * Reads the commands of a transaction.
 * @param specOf the declaration that arguments call for; throws when there is none
 * @throws RangeError when they are cut short
 */
export function decodeQueue(reader: MessageReader, specOf: (args: readonly Buffer[]) => CommandSpec): QueuedData[] {
  const { payload } = reader;
  const commands: QueuedData[] = [];
  /** Of the command before, when its name alone says which it is. */
  let known: { readonly name: Buffer; readonly spec: CommandSpec } | undefined;
  for (let left = reader.u32(); left > 0; left--) {
    const db = reader.u8();
    const count = reader.u32();
    const at = reader.position;
    for (let index = 0; index < count; index++) reader.skipBytes();
    // Transactions do the same again and again.
    if (known === undefined || count === 0 || !isAt(payload, at, known.name)) {
      const args = viewsAt(payload, at, count);
      const spec = specOf(args);
      const name = args[0]!;
      // That of a subcommand is another.
      known = spec.name === name.toString('latin1').toLowerCase() ? { name, spec } : undefined;
      commands.push(new ForwardedCommand(spec, db, count, payload, at));
    } else commands.push(new ForwardedCommand(known.spec, db, count, payload, at));
  }
  return commands;
}
