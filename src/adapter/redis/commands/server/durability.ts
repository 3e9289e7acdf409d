/**
 * WAIT and WAITAOF: how many copies acknowledged writes have. A write is answered when a majority of its group's replicas has it on disk, so there
 * is nothing to wait for: the number is that of the group with the fewest, and true of every write that was answered, on any connection.
 */
import { type CommandSpec, defineCommands } from '../../command/index.ts';
import { INT64_MAX, integerArgument, RedisError, timeoutArgument } from '../../protocol/index.ts';
import { declareWith } from '../declare.ts';

const durability = declareWith({
  flags: ['noscript'],
  group: 'generic',
  aclCategories: ['connection'],
  complexity: 'O(1)',
});

/** @throws RedisError */
function checkWithin(argument: Buffer, max: bigint, message: string): void {
  const value = integerArgument(argument);
  if (value < 0n || value > max) throw new RedisError(message);
}

export const durabilityCommands: readonly CommandSpec[] = defineCommands([
  durability({
    name: 'wait',
    arity: 3,
    isBehindAll: true,
    since: '3.0.0',
    summary: 'How many replicas beside the leader have every acknowledged write.',
    differences:
      'Answers at once: a write is on a majority before it is acknowledged. The number is what holds for every write, also when more replicas have it ' +
      'by now or more are asked for.',
    run: ({ server }, args) => {
      integerArgument(args[1]!);
      timeoutArgument(args[2]!);
      return server.quorumReplicas();
    },
  }),
  durability({
    name: 'waitaof',
    arity: 4,
    isBehindAll: true,
    since: '7.2.0',
    summary: 'On how many disks every acknowledged write is: on one, and on those of how many replicas beside.',
    differences:
      'Answers at once: a write is on the disks of a majority before it is acknowledged. The first number is 1: one of them stands for the server that ' +
      'the client has connected to, which may have no copy.',
    run: ({ server }, args) => {
      checkWithin(args[1]!, 1n, 'ERR value is out of range, must be between 0 and 1');
      checkWithin(args[2]!, INT64_MAX, 'ERR value is out of range, must be positive');
      timeoutArgument(args[3]!);
      return [1, server.quorumReplicas()];
    },
  }),
]);
