/** Moving ranges between groups: the service of group leaders, its client, and the driver of jobs. */
export { ForwardingSpanClient } from './client.ts';
export { DEFAULT_MOVE_LIMITS, MoveDriver, type MoveDriverOptions, type MoveLimits } from './driver.ts';
export { serveSpans } from './endpoint.ts';
export { MoveRefusedError } from './errors.ts';
export type { SpanClient, SpanExecutor } from './types.ts';
