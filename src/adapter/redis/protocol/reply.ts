/**
 * What a command answers, apart from how it is written on the wire. Plain JavaScript values stand for the common shapes;
 * small classes stand for the rest, so that one handler serves RESP2 and RESP3: the encoder downgrades a map to a flat
 * array, a double to its text and so on for a RESP2 client.
 */
import { type ErrorDisposition, KvorumError } from '../../../platform/index.ts';
import { doubleText } from './doubles.ts';

/** A status line such as `+OK`; must not contain CR or LF. */
export class SimpleString {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** An error inside a reply (an element of EXEC's array); to fail a whole command, throw `RedisError`. */
export class ErrorReply {
  readonly text: string;
  /** @param text prefix and message as they stand on the wire, without the leading `-` */
  constructor(text: string) {
    this.text = text;
  }
}

/** RESP3 double; RESP2 gets its text as a bulk string. */
export class DoubleReply {
  readonly text: string;
  /** @param text how the command prints it; left out: as Redis prints scores */
  constructor(value: number, text = doubleText(value)) {
    this.text = text;
  }
}

/** RESP3 verbatim string of three-letter format; RESP2 gets a bulk string. */
export class VerbatimReply {
  readonly text: string;
  readonly format: 'txt' | 'mkd';
  constructor(text: string, format: 'txt' | 'mkd' = 'txt') {
    this.text = text;
    this.format = format;
  }
}

/** RESP3 big number; RESP2 gets its digits as a bulk string. */
export class BigNumberReply {
  readonly value: bigint;
  constructor(value: bigint) {
    this.value = value;
  }
}

/** RESP3 boolean; RESP2 gets 1 or 0. */
export class BooleanReply {
  readonly value: boolean;
  constructor(value: boolean) {
    this.value = value;
  }
}

/** RESP3 map; RESP2 gets keys and values in one flat array. */
export class MapReply {
  readonly entries: readonly (readonly [Reply, Reply])[];
  constructor(entries: readonly (readonly [Reply, Reply])[]) {
    this.entries = entries;
  }
}

/** RESP3 set; RESP2 gets an array. */
export class SetReply {
  readonly members: readonly Reply[];
  constructor(members: readonly Reply[]) {
    this.members = members;
  }
}

/** A message that is no reply to a command: RESP3 push; RESP2 gets an array. */
export class PushReply {
  readonly elements: readonly Reply[];
  constructor(elements: readonly Reply[]) {
    this.elements = elements;
  }
}

/** The null that stands where an array was expected (`*-1` in RESP2); RESP3 has one null. */
export class NilArrayReply {
  readonly nilArray = true;
}

/** Bytes that are already in the client's RESP version: a reply from the leader on its way through. */
export class EncodedReply {
  readonly bytes: Buffer;
  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

/** Bytes of one reply as `EncodedReply`, but no error, in parts that follow each other: to put so many together would copy all of them. */
export class EncodedParts {
  readonly parts: readonly Buffer[];
  constructor(parts: readonly Buffer[]) {
    this.parts = parts;
  }
}

/** No reply at all (CLIENT REPLY OFF). */
export class NoReply {
  readonly silent = true;
}

/**
 * `Buffer` and `string` are bulk strings, `number` (a safe integer) and `bigint` (64-bit signed) are integers, `null` is
 * the nil bulk string, an array is an array.
 */
export type Reply =
  | Buffer
  | string
  | number
  | bigint
  | null
  | SimpleString
  | ErrorReply
  | DoubleReply
  | VerbatimReply
  | BigNumberReply
  | BooleanReply
  | MapReply
  | SetReply
  | PushReply
  | NilArrayReply
  | EncodedReply
  | EncodedParts
  | NoReply
  | readonly Reply[];

export const OK = new SimpleString('OK');
export const QUEUED = new SimpleString('QUEUED');
export const PONG = new SimpleString('PONG');
export const NIL_ARRAY = new NilArrayReply();
export const NO_REPLY = new NoReply();

/** Fails a command; `message` is what stands on the wire after `-`, for example `ERR syntax error`. */
export class RedisError extends KvorumError {
  readonly code = 'REDIS_ERROR';
  readonly disposition: ErrorDisposition = 'final';

  /** The first word: `ERR`, `WRONGTYPE`, ... */
  get prefix(): string {
    const space = this.message.indexOf(' ');
    return space < 0 ? this.message : this.message.slice(0, space);
  }
}

/** Errors that many commands share, with Redis' exact texts. Made on demand, because an error records where it was made. */
export const errors = {
  wrongType: () => new RedisError('WRONGTYPE Operation against a key holding the wrong kind of value'),
  syntax: () => new RedisError('ERR syntax error'),
  notInteger: () => new RedisError('ERR value is not an integer or out of range'),
  notFloat: () => new RedisError('ERR value is not a valid float'),
  overflow: () => new RedisError('ERR increment or decrement would overflow'),
  notFinite: () => new RedisError('ERR increment would produce NaN or Infinity'),
  noSuchKey: () => new RedisError('ERR no such key'),
  int32OutOfRange: () => new RedisError('ERR value is out of range, value must between -2147483648 and 2147483647'),
  indexOutOfRange: () => new RedisError('ERR index out of range'),
  dbIndexOutOfRange: () => new RedisError('ERR DB index is out of range'),
  invalidDbIndex: () => new RedisError('ERR invalid DB index'),
  sameObject: () => new RedisError('ERR source and destination objects are the same'),
  /** @param name the command in lower case, one that is for tests only */
  notAllowed: (name: string) => {
    const [title, option] = [name.toUpperCase(), `enable-${name}-command`];
    return new RedisError(
      `ERR ${title} command not allowed. If the ${option} option is set to "local", you can run it from a local connection, otherwise ` +
        'you need to set this option in the configuration file, and then restart the server.',
    );
  },
  /** @param name the command in lower case, for a subcommand `container|sub` */
  wrongArity: (name: string) => new RedisError(`ERR wrong number of arguments for '${name}' command`),
  /** @param container in upper case @param sub the subcommand, as the client wrote it */
  subcommandSyntax: (container: string, sub: string) =>
    new RedisError(`ERR unknown subcommand or wrong number of arguments for '${sub}'. Try ${container} HELP.`),
  noAuth: () => new RedisError('NOAUTH Authentication required.'),
  invalidExpire: (name: string) => new RedisError(`ERR invalid expire time in '${name}' command`),
  stringTooLong: () => new RedisError('ERR string exceeds maximum allowed size (proto-max-bulk-len)'),
} as const;
