/**
 * Switches the oracle on and moves it to another group.
 */

export { AuthoritySwitch } from './switch.ts';
