/** The first line of a script that says how it is to be run: `#!lua flags=no-writes,allow-stale`. */
import { FUNCTION_FLAGS, type FunctionFlag } from '../lua/index.ts';
import { RedisError, splitInline } from '../protocol/index.ts';

/** What a script's first line says. */
export interface ScriptHeader {
  /** True when there is such a line. */
  readonly isDeclared: boolean;
  /** It writes nothing. */
  readonly isReadOnly: boolean;
  /** What is left to compile: the first line is empty, so that lines keep their numbers. */
  readonly body: Buffer;
}

const MARK = '#!';
const ENGINE = '#!lua';
const FLAGS_OPTION = 'flags=';
const NO_WRITES: FunctionFlag = 'no-writes';
/** Flags that Redis knows, those of functions. A cluster that spreads keys over groups, has memory left and no stale copies needs only one of them. */
const FLAGS: ReadonlySet<string> = new Set(FUNCTION_FLAGS);
const LINE_FEED = 0x0a;

/** @throws RedisError when the line is there and says something unknown */
export function readShebang(text: Buffer): ScriptHeader {
  if (text.toString('latin1', 0, MARK.length) !== MARK) return { isDeclared: false, isReadOnly: false, body: text };
  const end = text.indexOf(LINE_FEED);
  if (end < 0) throw new RedisError('ERR Invalid script shebang');
  const [engine, ...options] = wordsOf(text.subarray(0, end)) ?? [];
  if (engine === undefined) throw new RedisError('ERR Invalid engine in script shebang');
  if (engine !== ENGINE) throw new RedisError(`ERR Unexpected engine in script shebang: ${engine}`);
  let isReadOnly = false;
  for (const option of options) {
    if (!option.startsWith(FLAGS_OPTION)) throw new RedisError(`ERR Unknown lua shebang option: ${option}`);
    const list = option.slice(FLAGS_OPTION.length);
    const flags = list === '' ? [] : list.split(',');
    const unknown = flags.find((flag) => !FLAGS.has(flag));
    if (unknown !== undefined) throw new RedisError(`ERR Unexpected flag in script shebang: ${unknown}`);
    isReadOnly ||= flags.includes(NO_WRITES);
  }
  return { isDeclared: true, isReadOnly, body: text.subarray(end) };
}

/** The words of a first line, quoted ones too; undefined when quotes do not fit. */
export const wordsOf = (line: Buffer): string[] | undefined =>
  splitInline(line)?.map((word) => word.toString('latin1'));
