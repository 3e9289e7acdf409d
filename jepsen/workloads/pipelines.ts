/**
 * Pipelines on two keys of a slot, or of scripts over two slots, while others append to one of the keys and to a key of another slot in one transaction.
 */
import { type Redis, ReplyError } from 'ioredis';
import type { Random } from '../../src/platform/index.ts';
import { type PipelinedOp, pipelinesChecker } from '../checkers/pipelines.ts';
import type { Workload } from '../types.ts';
import { exec } from './transaction.ts';

/** Slots that are worked on at a time, few so that clients meet each other's locks. */
const TAGS = 3;
/** Operations before others take their place, so that lists stay short. */
const OPERATIONS_PER_TAGS = 150;

const APPEND_TO_ALL = `for _, key in ipairs(KEYS) do redis.call('APPEND', key, ARGV[1]) end`;

const slotOf = (key: string): string => key.slice(0, key.indexOf('}'));
const areApart = (keys: readonly string[]): boolean => keys.some((key) => slotOf(key) !== slotOf(keys[0]!));

const parseList = (text: string | null): number[] => (text ?? '').split(' ').filter(Boolean).map(Number);

async function run(client: Redis, op: PipelinedOp): Promise<PipelinedOp> {
  if (op[0] === 'r') return ['r', op[1], parseList(await client.get(op[1]))];
  const [, keys, element] = op;
  if (keys.length === 1) {
    await client.append(keys[0]!, `${element} `);
    return op;
  }
  // Neighbours in a pipeline mostly go the same way.
  if (areApart(keys) && (element >> 3) % 2 === 0) {
    await client.eval(APPEND_TO_ALL, keys.length, ...keys, `${element} `);
    return op;
  }
  const transaction = client.multi();
  for (const key of keys) transaction.append(key, `${element} `);
  await exec(transaction);
  return op;
}

/** Nothing happened, by the server's own word. */
const isRefusal = (error: unknown): boolean =>
  error instanceof Error && error instanceof ReplyError && !error.message.startsWith('UNKNOWN');

/** See the head of the file. */
export function pipelines(): Workload {
  let generated = 0;
  const tagOf = (random: Random): string =>
    `pipe-${Math.floor(generated / OPERATIONS_PER_TAGS) * TAGS + random.int(TAGS)}`;
  return {
    name: 'pipelines',
    description:
      'pipelines of APPEND, MULTI, EVAL and GET beside transactions over slots; each key sees a pipeline in order',
    checker: pipelinesChecker,
    generate({ random, nextId }) {
      const [tag, other] = [tagOf(random), tagOf(random)];
      generated++;
      const [a, b] = [`{${tag}}a`, `{${tag}}b`];
      if (random.next() < 0.4 && other !== tag) {
        return { f: 'cross', value: [['append', [b, `{${other}}b`], nextId()]] satisfies PipelinedOp[] };
      }
      if (random.next() < 0.3 && other !== tag) {
        const apart = [b, `{${other}}b`];
        const ops: PipelinedOp[] = Array.from(
          { length: 2 + random.int(6) },
          (): PipelinedOp => ['append', apart, nextId()],
        );
        return { f: 'pipeline', value: [...ops, ['r', b, null]] satisfies PipelinedOp[] };
      }
      const ops: PipelinedOp[] = [['append', [a, b], nextId()]];
      for (let left = 2 + random.int(5); left > 0; left--) {
        const key = random.int(3) === 0 ? b : a;
        if (random.int(2) === 0) ops.push(['r', key, null]);
        else ops.push(['append', random.int(4) === 0 ? [a, b] : [key], nextId()]);
      }
      ops.push(['r', a, null]);
      return { f: 'pipeline', value: ops };
    },
    isReadOnly: () => false,
    async execute(client, { value }) {
      const ops = value as readonly PipelinedOp[];
      // All are sent before the first reply.
      const replies = await Promise.allSettled(ops.map((op) => run(client, op)));
      return replies.map((reply, at): PipelinedOp => {
        const op = ops[at]!;
        if (reply.status === 'fulfilled') return reply.value;
        if (!isRefusal(reply.reason)) throw reply.reason;
        return op[0] === 'r' ? ['r', op[1], null] : ['refused', op[1], op[2]];
      });
    },
  };
}
