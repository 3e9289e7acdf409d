/** A look inside of sketches, and a test of them: PFDEBUG, PFSELFTEST. */
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { OK, optionName, RedisError, type Reply, SimpleString } from '../../protocol/index.ts';
import { findFault } from './self-test.ts';
import { Sketch } from './sketch.ts';
import { runsOf } from './sparse-sketch.ts';

function registers(sketch: Sketch): Reply {
  if (!sketch.isDense) {
    sketch.becomeDense();
    sketch.save(false);
  }
  const counts: Reply[] = [];
  sketch.eachDense((_, count) => counts.push(count));
  return counts;
}

/** Runs of zeros as `z:` or `Z:` by their form, others with their count. */
function decode(sketch: Sketch): Reply {
  if (sketch.isDense) throw new RedisError('ERR HLL encoding is not sparse');
  const runs: string[] = [];
  for (const { length, count, isLong } of runsOf(sketch.whole())) {
    if (count > 0) runs.push(`v:${count},${length}`);
    else runs.push(`${isLong ? 'Z' : 'z'}:${length}`);
  }
  return Buffer.from(runs.join(' '), 'latin1');
}

function makeDense(sketch: Sketch): Reply {
  if (sketch.isDense) return 0;
  sketch.becomeDense();
  sketch.save(false);
  return 1;
}

function debug(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const sketch = new Sketch(ctx, args[2]!);
  if (!sketch.exists) throw new RedisError('ERR The specified key does not exist');
  switch (optionName(args[1]!)) {
    case 'GETREG':
      return registers(sketch);
    case 'DECODE':
      return decode(sketch);
    case 'ENCODING':
      return new SimpleString(sketch.isDense ? 'dense' : 'sparse');
    case 'TODENSE':
      return makeDense(sketch);
    default:
      throw new RedisError(`ERR Unknown PFDEBUG subcommand '${args[1]}'`);
  }
}

function selfTest(): Reply {
  const fault = findFault();
  if (fault !== undefined) throw new RedisError(`ERR TESTFAILED ${fault}`);
  return OK;
}

export const sketchDebugCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'pfdebug',
    arity: 3,
    flags: ['write', 'denyoom', 'admin'],
    keys: { first: 2, last: 2, step: 1 },
    group: 'hyperloglog',
    since: '2.8.9',
    summary: 'Shows how a sketch is written: GETREG, DECODE, ENCODING, TODENSE.',
    complexity: 'O(1)',
    handler: { kind: 'data', run: debug },
  },
  {
    name: 'pfselftest',
    arity: 1,
    flags: ['admin'],
    group: 'hyperloglog',
    since: '2.8.9',
    summary: 'Tests registers and estimates of sketches.',
    complexity: 'O(1)',
    differences: 'Counts 100,000 elements instead of ten million, so that the node does not stand still.',
    handler: { kind: 'connection', run: selfTest },
  },
]);
