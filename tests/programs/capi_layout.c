/* Sizes and offsets of librbd's structs as the library lays them out (crates/librbd/src/ffi/ctypes.rs, whose own test
 * asserts the same numbers). A header that disagrees does not compile here. */
#include <rbd/librbd.h>
#include <stddef.h>

#define LAYOUT(type, size) _Static_assert(sizeof(type) == (size), #type)
#define PLACE(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)

LAYOUT(rbd_image_info_t, 160);
PLACE(rbd_image_info_t, order, 24);
PLACE(rbd_image_info_t, block_name_prefix, 28);
PLACE(rbd_image_info_t, parent_pool, 56);
PLACE(rbd_image_info_t, parent_name, 64);
LAYOUT(rbd_image_spec_t, 16);
LAYOUT(rbd_linked_image_spec_t, 48);
PLACE(rbd_linked_image_spec_t, trash, 40);
LAYOUT(rbd_child_info_t, 32);
PLACE(rbd_child_info_t, trash, 24);
LAYOUT(rbd_snap_spec_t, 24);
PLACE(rbd_snap_spec_t, name, 16);
LAYOUT(rbd_snap_info_t, 24);
PLACE(rbd_snap_info_t, name, 16);
LAYOUT(rbd_group_info_t, 16);
PLACE(rbd_group_info_t, pool, 8);
LAYOUT(rbd_group_image_info_t, 24);
PLACE(rbd_group_image_info_t, state, 16);
LAYOUT(rbd_group_snap_info_t, 16);
PLACE(rbd_group_snap_info_t, state, 8);
LAYOUT(rbd_snap_group_namespace_t, 24);
PLACE(rbd_snap_group_namespace_t, group_snap_name, 16);
LAYOUT(rbd_image_watcher_t, 24);
PLACE(rbd_image_watcher_t, cookie, 16);
LAYOUT(rbd_image_migration_status_t, 80);
PLACE(rbd_image_migration_status_t, state, 64);
LAYOUT(rbd_config_option_t, 24);
PLACE(rbd_config_option_t, source, 16);

_Static_assert(RBD_IMAGE_OPTION_MIRROR_IMAGE_MODE == 13, "the last option that is known");
_Static_assert(RBD_WRITE_ZEROES_FLAG_THICK_PROVISION == 1, "write-zeroes flag");
_Static_assert(EVENT_TYPE_PIPE == 1 && EVENT_TYPE_EVENTFD == 2, "event types");
_Static_assert(LIBRADOS_OP_FLAG_FADVISE_FUA == 0x80, "FUA");
_Static_assert(RBD_FEATURES_ALL == 0xfff, "features");

int main(void)
{
	return 0;
}
