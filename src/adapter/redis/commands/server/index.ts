/** The server itself: INFO, CONFIG, COMMAND, FAILOVER, and what tools ask of any server first. */
import type { CommandSpec } from '../../command/index.ts';
import { configCommands } from './config.ts';
import { debugCommands } from './debug.ts';
import { moduleCommands } from './diagnostics.ts';
import { durabilityCommands } from './durability.ts';
import { failoverCommands } from './failover.ts';
import { introspectionCommands } from './introspection.ts';
import { latencyCommands } from './latency.ts';
import { memoryCommands } from './memory.ts';
import { monitorCommands } from './monitor.ts';
import { serverCommands as ownCommands } from './server.ts';
import { slowlogCommands } from './slowlog.ts';

export const serverCommands: readonly CommandSpec[] = [
  ...configCommands,
  ...debugCommands,
  ...moduleCommands,
  ...durabilityCommands,
  ...failoverCommands,
  ...introspectionCommands,
  ...latencyCommands,
  ...memoryCommands,
  ...monitorCommands,
  ...slowlogCommands,
  ...ownCommands,
];
