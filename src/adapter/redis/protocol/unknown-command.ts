/**
 * The replies for commands that do not exist. They repeat the client's own bytes, which need not be text: cut off where
 * Redis cuts them off, at a length and at the first zero byte.
 */
import { EncodedReply } from './reply.ts';

/** Bytes of a name, and of all arguments together, that are repeated to the client. */
const SHOWN_BYTES = 128;
const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;

/**
 * True for a word that lines of an HTTP request begin with: a browser that was led to this port by somebody's page. Its body could
 * hold commands, so nothing of such a connection is answered or run.
 */
export const isHttp = (name: Buffer): boolean =>
  (name.length === 4 || name.length === 5) && /^(post|host:)$/i.test(name.toString('latin1'));

/** The error for a command that is not in the table, with the beginning of its arguments. */
export function unknownCommandReply(args: readonly Buffer[]): EncodedReply {
  const shown: Buffer[] = [];
  let bytes = 0;
  for (let index = 1; index < args.length && bytes < SHOWN_BYTES; index++) {
    const part = Buffer.concat([Buffer.from("'"), shownPart(args[index]!, SHOWN_BYTES - bytes), Buffer.from("' ")]);
    shown.push(part);
    bytes += part.length;
  }
  return errorOf([
    Buffer.from("ERR unknown command '"),
    shownPart(args[0]!, SHOWN_BYTES),
    Buffer.from("', with args beginning with: "),
    ...shown,
  ]);
}

/**
 * The error for a subcommand that its container does not have.
 * @param container name of the container in any case
 */
export function unknownSubcommandReply(container: string, sub: Buffer): EncodedReply {
  return errorOf([
    Buffer.from("ERR unknown subcommand '"),
    shownPart(sub, SHOWN_BYTES),
    Buffer.from(`'. Try ${container.toUpperCase()} HELP.`),
  ]);
}

function shownPart(argument: Buffer, maxBytes: number): Buffer {
  const shown = argument.subarray(0, maxBytes);
  const zero = shown.indexOf(0);
  return zero < 0 ? shown : shown.subarray(0, zero);
}

function errorOf(parts: readonly Buffer[]): EncodedReply {
  const line = Buffer.concat([Buffer.from('-'), ...parts, Buffer.from('\r\n')]);
  for (let at = 0; at < line.length - 2; at++) if (line[at] === CR || line[at] === LF) line[at] = SPACE;
  return new EncodedReply(line);
}
