/** The code of a library: its first line says the engine and its name, `#!lua name=mylib`. */
import { isFunctionName, NAME_RULE } from '../lua/index.ts';
import { RedisError } from '../protocol/index.ts';
import { wordsOf } from './shebang.ts';

export interface LibraryCode {
  readonly name: string;
  /** What is left to compile: the first line is empty, so that lines keep their numbers. */
  readonly body: Buffer;
}

const MARK = '#!';
const NAME_OPTION = 'name=';
const ENGINE = 'lua';
const LINE_FEED = 0x0a;

/** @throws RedisError when the first line is not there or says something else */
export function readLibraryCode(code: Buffer): LibraryCode {
  if (code.toString('latin1', 0, MARK.length) !== MARK) throw new RedisError('ERR Missing library metadata');
  const end = code.indexOf(LINE_FEED);
  const [first, ...options] = (end < 0 ? undefined : wordsOf(code.subarray(0, end))) ?? [];
  if (first === undefined) throw new RedisError('ERR Invalid library metadata');
  let name: string | undefined;
  for (const option of options) {
    if (option.slice(0, NAME_OPTION.length).toLowerCase() !== NAME_OPTION) {
      throw new RedisError(`ERR Invalid metadata value given: ${option}`);
    }
    if (name !== undefined) {
      throw new RedisError('ERR Invalid metadata value, name argument was given multiple times');
    }
    name = option.slice(NAME_OPTION.length);
  }
  if (name === undefined) throw new RedisError('ERR Library name was not given');
  if (!isFunctionName(name)) throw new RedisError(NAME_RULE);
  const engine = first.slice(MARK.length);
  if (engine.toLowerCase() !== ENGINE) throw new RedisError(`ERR Engine '${engine}' not found`);
  return { name, body: code.subarray(end) };
}
