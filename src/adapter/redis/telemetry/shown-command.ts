/** Commands as operators are shown them: secrets left out, long arguments cut, bytes made printable. */
import { wordOf } from '../protocol/index.ts';

/** As in Redis: what is beyond is counted, not shown. */
const MAX_ARGUMENTS = 32;
const MAX_ARGUMENT_BYTES = 128;

const REDACTED = Buffer.from('(redacted)');

/** Settings whose values are secrets. */
const SECRET_SETTINGS: ReadonlySet<string> = new Set([
  'requirepass',
  'masterauth',
  'masteruser',
  'tls-key-file-pass',
  'tls-client-key-file-pass',
]);

/** Positions of the arguments that are secrets, by the command's name. */
const SECRETS: Readonly<Record<string, (args: readonly Buffer[]) => number[]>> = {
  auth: (args) => from(args, 1),
  acl: (args) => (wordOf(args[1] ?? REDACTED) === 'setuser' ? from(args, 2) : []),
  config: (args) => (wordOf(args[1] ?? REDACTED) === 'set' ? secretValues(args) : []),
  hello: (args) => args.flatMap((word, at) => (at > 1 && wordOf(word) === 'auth' ? [at + 1, at + 2] : [])),
};

const from = (args: readonly Buffer[], first: number): number[] => args.flatMap((_, at) => (at >= first ? [at] : []));

const secretValues = (args: readonly Buffer[]): number[] =>
  args.flatMap((word, at) => (at >= 2 && at % 2 === 0 && SECRET_SETTINGS.has(wordOf(word)) ? [at + 1] : []));

/** The arguments of a command without passwords and users' rules. */
export function withoutSecrets(args: readonly Buffer[]): readonly Buffer[] {
  const positions = SECRETS[wordOf(args[0]!)]?.(args) ?? [];
  return positions.length === 0 ? args : args.map((arg, at) => (positions.includes(at) ? REDACTED : arg));
}

/** The arguments as the slow log keeps them: copies, of limited number and length. */
export function shortened(args: readonly Buffer[]): Buffer[] {
  const shown = args.length > MAX_ARGUMENTS ? args.slice(0, MAX_ARGUMENTS - 1) : args;
  const kept = shown.map(cut);
  const left = args.length - shown.length;
  if (left > 0) kept.push(Buffer.from(`... (${left} more arguments)`));
  return kept;
}

function cut(argument: Buffer): Buffer {
  const left = argument.length - MAX_ARGUMENT_BYTES;
  if (left <= 0) return Buffer.from(argument);
  return Buffer.concat([argument.subarray(0, MAX_ARGUMENT_BYTES), Buffer.from(`... (${left} more bytes)`)]);
}

/** Bytes that stand behind a backslash, by what they are. */
const ESCAPES: ReadonlyMap<number, string> = new Map([
  [0x5c, '\\\\'],
  [0x22, '\\"'],
  [0x0a, '\\n'],
  [0x0d, '\\r'],
  [0x09, '\\t'],
  [0x07, '\\a'],
  [0x08, '\\b'],
]);

/** How each byte is shown between quotes. */
const SHOWN: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const isPrintable = byte >= 0x20 && byte < 0x7f;
  return ESCAPES.get(byte) ?? (isPrintable ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`);
});

/** An argument between quotes, as `redis-cli` would read it. */
export function quoted(argument: Buffer): string {
  let text = '"';
  for (const byte of argument) text += SHOWN[byte];
  return `${text}"`;
}
