/** SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and their ends, PUBLISH, SPUBLISH, PUBSUB. */
export { pubsubCommands } from './pubsub-commands.ts';
