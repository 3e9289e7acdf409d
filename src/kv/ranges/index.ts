/**
 * The messages with which a range is carried from group to group: the questions that the driver of a move asks leaders, and who
 * answers them.
 */

export { ForwardingSpanClient } from './client.ts';
export { serveSpans } from './endpoint.ts';
