/**
 * One client. `session` is its state that commands read and change, `pipeline` starts its commands and puts replies into request order,
 * `transport` takes bytes in and sends them out, with messages that are no replies between them.
 */

export { CommandPipeline } from './pipeline.ts';
