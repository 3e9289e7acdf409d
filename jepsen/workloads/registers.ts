/** Single keys that are read, written, and compared and set, judged by linearizability: what workloads of registers have in common. */
import type { Redis } from 'ioredis';
import { linearizability, registerModel } from '../checkers/linearizability.ts';
import type { Workload } from '../types.ts';

/** Keys change as the run goes on, so that each key's history stays short enough to search. */
const OPERATIONS_PER_KEY = 80;
const KEYS_AT_A_TIME = 3;
const VALUES = 5;
const READ_SHARE = 0.5;

type Keyed = readonly [key: string, argument: unknown];

/** How clients do it. */
export interface RegisterAccess {
  /** Also in front of the names of keys. */
  readonly name: string;
  readonly description: string;
  /** Of all operations; half of them read, the rest compares and sets. */
  readonly writeShare: number;
  read(client: Redis, key: string): Promise<string | null>;
  write(client: Redis, key: string, value: string): Promise<unknown>;
  /** @returns whether the key had what was expected, and has the replacement now */
  swap(client: Redis, key: string, expected: string, replacement: string): Promise<boolean>;
}

export const registers = ({ name, description, writeShare, read, write, swap }: RegisterAccess): Workload => {
  let generated = 0;
  return {
    name,
    description,
    checker: linearizability({
      model: registerModel,
      cut(invoke, completion) {
        const [key, argument] = invoke.value as Keyed;
        const output = completion === undefined ? undefined : (completion.value as Keyed)[1];
        return { key, input: argument, output };
      },
    }),
    generate({ random }) {
      const epoch = Math.floor(generated++ / (OPERATIONS_PER_KEY * KEYS_AT_A_TIME));
      const key = `${name}-${epoch * KEYS_AT_A_TIME + random.int(KEYS_AT_A_TIME)}`;
      const draw = random.next();
      if (draw < READ_SHARE) return { f: 'read', value: [key, null] };
      if (draw < READ_SHARE + writeShare) return { f: 'write', value: [key, random.int(VALUES)] };
      return { f: 'cas', value: [key, [random.int(VALUES), random.int(VALUES)]] };
    },
    isReadOnly: (f) => f === 'read',
    async execute(client, { f, value }) {
      const [key, argument] = value as Keyed;
      if (f === 'read') {
        const text = await read(client, key);
        return [key, text === null ? null : Number(text)];
      }
      if (f === 'write') {
        await write(client, key, String(argument));
        return [key, argument];
      }
      const [expected, replacement] = argument as [number, number];
      return [key, await swap(client, key, String(expected), String(replacement))];
    },
  };
};
