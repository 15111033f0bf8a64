/** What listeners throw. */
export { SystemError } from '../system/error.ts';
