/** Sketches that count different elements: PFADD, PFCOUNT, PFMERGE. */
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { OK, type Reply } from '../../protocol/index.ts';
import { Sketch, Union } from './sketch.ts';

function add(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const sketch = new Sketch(ctx, args[1]!);
  let isChanged = false;
  if (!sketch.exists) {
    sketch.create();
    isChanged = true;
  }
  for (let index = 2; index < args.length; index++) if (sketch.add(args[index]!)) isChanged = true;
  if (!isChanged) return 0;
  sketch.save(true);
  ctx.event('string', 'pfadd', args[1]!);
  return 1;
}

/** The estimate of one sketch is noted in it, so that the next one costs a read of the header. */
function countOne(ctx: CommandContext, userKey: Buffer): Reply {
  const sketch = new Sketch(ctx, userKey);
  if (!sketch.exists) return 0;
  const noted = sketch.notedCardinality();
  if (noted !== undefined) return noted;
  const cardinality = sketch.cardinality();
  sketch.noteCardinality(cardinality);
  sketch.save(false);
  return cardinality;
}

/** Counts in what exists, one after the other, as errors go by the first that is no sketch. @returns them */
function mergeAll(ctx: CommandContext, userKeys: readonly Buffer[], union: Union): Sketch[] {
  return userKeys
    .map((key) => {
      const sketch = new Sketch(ctx, key, true);
      if (sketch.exists) sketch.mergeInto(union);
      return sketch;
    })
    .filter(({ exists }) => exists);
}

function count(ctx: CommandContext, args: readonly Buffer[]): Reply {
  if (args.length === 2) return countOne(ctx, args[1]!);
  const union = new Union();
  mergeAll(ctx, args.slice(1), union);
  return union.cardinality();
}

function merge(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const union = new Union();
  const sources = mergeAll(ctx, args.slice(1), union);
  const target = new Sketch(ctx, args[1]!);
  if (!target.exists) target.create();
  if (sources.some(({ isDense }) => isDense)) target.becomeDense();
  target.raiseAll(union);
  target.save(true);
  ctx.event('string', 'pfadd', args[1]!);
  return OK;
}

export const sketchCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'pfadd',
    arity: -2,
    flags: ['write', 'denyoom', 'fast'],
    keys: { first: 1, last: 1, step: 1 },
    group: 'hyperloglog',
    since: '2.8.9',
    summary: 'Adds elements to a sketch, which is made when it does not exist.',
    complexity: 'O(1) for each element',
    differences:
      'Of several elements for a damaged sketch it keeps none; Redis keeps those before the one that it fails at.',
    handler: { kind: 'data', run: add },
  },
  {
    name: 'pfcount',
    arity: -2,
    flags: ['readonly'],
    writes: (args) => args.length === 2,
    keys: { first: 1, last: -1, step: 1 },
    group: 'hyperloglog',
    since: '2.8.9',
    summary: 'Estimates how many different elements a sketch, or several together, have seen.',
    complexity: 'O(1) with a small constant for one sketch that has not changed, O(N) for N sketches',
    handler: { kind: 'data', run: count },
  },
  {
    name: 'pfmerge',
    arity: -2,
    flags: ['write', 'denyoom'],
    keys: { first: 1, last: -1, step: 1 },
    group: 'hyperloglog',
    since: '2.8.9',
    summary: 'Writes a sketch that has seen what several sketches have seen.',
    complexity: 'O(N) in the number of sketches',
    handler: { kind: 'data', run: merge },
  },
]);
