/* The lock of a stand-in library's state; each of the two libraries has its own.
 *
 * Signals are blocked while it is held: a handler that calls the driver would wait for it for ever. A forked child begins
 * with a free lock: the thread that held it does not exist there. So whatever is guarded must be of use to a child, or
 * be written anew by it, however far another thread had come. A fork does not wait for the lock: its holder may be
 * waiting, in malloc, for the fork.
 */
#ifndef OFFBUS_STANDIN_LOCK_H
#define OFFBUS_STANDIN_LOCK_H

void driver_lock(void);
void driver_unlock(void);

#endif
