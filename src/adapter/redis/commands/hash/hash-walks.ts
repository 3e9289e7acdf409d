/** Fields of hashes that are not asked for by name: HRANDFIELD, HSCAN. */
import { type HashBody, openHash } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import type { Reply } from '../../protocol/index.ts';
import { parseRandomCount } from '../element-random.ts';
import { elementCursor, parseElementScan } from '../element-scan.ts';

const ONE_KEY = { first: 1, last: 1, step: 1 } as const;

function randomFields(ctx: CommandContext, args: readonly Buffer[]): Reply {
  if (args.length === 2) return openHash(ctx, args[1]!).random() ?? null;
  const { count, isDistinct, hasOption } = parseRandomCount(args, 'WITHVALUES');
  const hash = openHash(ctx, args[1]!);
  if (count === 0 || hash.size === 0) return [];
  const fields = isDistinct ? hash.randomDistinct(count) : hash.randomRepeated(count);
  if (!hasOption) return fields;
  hash.prefetch(fields);
  const lookUp = isDistinct ? (field: Buffer) => hash.get(field)! : rememberedValues(hash);
  if (ctx.resp === 3) return fields.map((field) => [field, lookUp(field)]);
  return fields.flatMap((field) => [field, lookUp(field)]);
}

/** Looks each field up once, however often it was drawn. */
function rememberedValues(hash: HashBody): (field: Buffer) => Buffer {
  const known = new Map<string, Buffer>();
  return (field) => {
    const text = field.toString('latin1');
    const value = known.get(text) ?? hash.get(field)!;
    known.set(text, value);
    return value;
  };
}

function scan(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const cursor = elementCursor(args[2]!);
  const hash = openHash(ctx, args[1]!);
  if (hash.size === 0) return ['0', []];
  const { atLeast, matches, withoutValues } = parseElementScan(args, true);
  const part = hash.scan(cursor, atLeast);
  const fields = part.names.filter(matches);
  if (!withoutValues) hash.prefetch(fields);
  return [String(part.cursor), withoutValues ? fields : fields.flatMap((field) => [field, hash.get(field)!])];
}

export const hashWalkCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'hrandfield',
    arity: -2,
    flags: ['readonly'],
    keys: ONE_KEY,
    group: 'hash',
    since: '6.2.0',
    summary: 'Fields of a hash by chance.',
    complexity: 'O(N) in the number of fields asked for',
    differences: 'A count below -100,000 is refused: Redis answers until its memory is used up.',
    handler: { kind: 'data', run: randomFields },
  },
  {
    name: 'hscan',
    arity: -3,
    flags: ['readonly'],
    keys: ONE_KEY,
    group: 'hash',
    since: '2.8.0',
    summary: 'Walks over the fields of a hash, a part a call.',
    complexity: 'O(N) in COUNT for a call, in the number of fields for a walk',
    differences: 'NOVALUES of 7.4 is there too. A call looks at 10,000 fields at most.',
    handler: { kind: 'data', run: scan },
  },
]);
