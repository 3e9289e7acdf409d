/** How CONFIG writes and reads `client-output-buffer-limit`. */
import type { OutputClass, OutputLimits } from '../../command/index.ts';
import { memoryBytes, parseInteger, RedisError } from '../../protocol/index.ts';

const CLASSES: Readonly<Record<string, OutputClass>> = {
  normal: 'normal',
  slave: 'slave',
  replica: 'slave',
  pubsub: 'pubsub',
};
const WORDS_PER_CLASS = 4;

export const outputLimitsText = (limits: OutputLimits): string =>
  (['normal', 'slave', 'pubsub'] as const)
    .map((name) => `${name} ${limits[name].hardBytes} ${limits[name].softBytes} ${limits[name].softSeconds}`)
    .join(' ');

/** The limits that a setting leads to: classes that it does not name stay as they are. @throws RedisError with the reason only */
export function changedOutputLimits(before: OutputLimits, argument: Buffer): OutputLimits {
  const text = argument.toString('latin1');
  const words = text === '' ? [] : text.split(' ');
  if (words.length % WORDS_PER_CLASS !== 0) {
    throw new RedisError('Wrong number of arguments in buffer limit configuration.');
  }
  const limits = { ...before };
  for (let at = 0; at < words.length; at += WORDS_PER_CLASS) {
    const [name = '', ...numbers] = words.slice(at, at + WORDS_PER_CLASS);
    const kind = Object.hasOwn(CLASSES, name.toLowerCase()) ? CLASSES[name.toLowerCase()] : undefined;
    if (kind === undefined) throw new RedisError('Invalid client class specified in buffer limit configuration.');
    const [hard, soft, seconds] = numbers.map((number) => Buffer.from(number, 'latin1'));
    const hardBytes = memoryBytes(hard!);
    const softBytes = memoryBytes(soft!);
    const softSeconds = parseInteger(seconds!);
    const isWrong = softSeconds === undefined || softSeconds < 0n;
    if (hardBytes === undefined || softBytes === undefined || isWrong) {
      throw new RedisError('Error in hard, soft or soft_seconds setting in buffer limit configuration.');
    }
    limits[kind] = { hardBytes: Number(hardBytes), softBytes: Number(softBytes), softSeconds: Number(softSeconds) };
  }
  return limits;
}
