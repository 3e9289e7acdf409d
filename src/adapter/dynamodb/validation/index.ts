/** The constraints of the API's model: one table of the service's texts, and the check that finds what a request breaks. */

export { checkConstraints } from './constraints.ts';
